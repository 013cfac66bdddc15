"""How well single dimensions of a code match the factors that the images were made from."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vaebench.core.about import About
from vaebench.core.hyper import Hyper
from vaebench.data import Dataset, Part, PartName
from vaebench.evaluation.codes.chance import Score, complete_by_definition, no_better_than_chance
from vaebench.evaluation.codes.factor_scores import Coded, Integers, Numbers, dci, mig, sap
from vaebench.evaluation.codes.fixed_factor import beta_vae_score, factor_vae_score
from vaebench.evaluation.codes.usage import ACTIVE, MEAN, is_active, posterior_means
from vaebench.evaluation.grading import Grade, Subject, grading
from vaebench.ops.noise import key

PARTS: tuple[PartName, ...] = ("train", "test")
MAX_VALUES = 100
"""Values of a factor at most: each is a class, for which a forest has a number in every leaf."""

NONE_ACTIVE = "no dimension of the posterior mean is active: this is what guessing scores"
NOT_FINITE = "the codes have NaN or infinity"
OTHER_TREES = 40
"""The time of all but the forests, in trees."""


@dataclass(frozen=True)
class Settings:
    """What the scores are computed with."""

    num_bins: int
    num_trees: int
    num_draws: int
    num_images: int


def _refuses(subject: Subject, **hyper: float) -> str:
    """Why the factors cannot be used: they must be there, vary, and have values that recur."""
    data = subject.dataset
    missing = [name for name in PARTS if _part(data, name).factors is None]
    if missing:
        return (
            f"it needs the factors of variation of train and test images; {data.label!r} has none "
            f"for {' and '.join(missing)}: choose data 'shapes', or store factors_train and "
            f"factors_test [N, F] beside the images"
        )
    return _refuses_factors(data)


def _refuses_factors(data: Dataset) -> str:
    columns = varying(data)
    if len(columns) < 2:
        return f"it needs two factors that vary in train and test; of {data.label!r}: {columns}"
    in_train, in_test = (_factors(data, name, columns).T for name in PARTS)
    unseen = [np.setdiff1d(*both).tolist() for both in zip(in_test, in_train, strict=True)]
    unknown = (
        f"factor {column} of {data.label!r} has values in test that train never has, "
        f"{values[:3]}: split the images anew"
        for column, values in zip(columns, unseen, strict=True)
        if values
    )
    faults = (
        f"factor {column} of {data.label!r} {fault} in {name}: store coarser values"
        for name in PARTS
        for column, values in zip(columns, _factors(data, name, columns).T, strict=True)
        if (fault := _fault(values))
    )
    return next(itertools.chain(faults, unknown), "")


def _fault(values: Integers) -> str:
    """What is wrong with the values of a factor; "" where nothing is."""
    _, counts = np.unique(values, return_counts=True)
    if len(counts) > MAX_VALUES:
        return f"may have {MAX_VALUES} values; it has {len(counts)}"
    return "" if counts.max() > 1 else "must give some value to two images; all have another"


def _work(subject: Subject, *, num_trees: float = 50, **rest: float) -> float:
    """The number of trees, plus the rest of the time in trees."""
    return num_trees + OTHER_TREES


Count = Annotated[int, Hyper(low=2.0)]


@grading(
    source="Chen et al. 2018; Eastwood & Williams 2018; Kumar et al. 2018; Kim & Mnih 2018; "
    "Higgins et al. 2017; settings of Locatello et al. 2019",
    refuses=_refuses,
    work=_work,
    small={"num_trees": 5},
    about=About(
        formula=r"\mathrm{MIG} = \frac{1}{F} \sum_{f=1}^{F} \frac{I(z_{(1)}; v_f) - "
        r"I(z_{(2)}; v_f)}{H(v_f)}",
        wrong_when="On few images, where estimates are above 0 for any code; and without "
        "known factors, where there is nothing to compare with. The five scores "
        "measure different things.",
    ),
)
def disentanglement(
    subject: Subject,
    *,
    num_bins: Count = 20,
    num_trees: Count = 50,
    num_draws: Count = 200,
    num_images: Count = 64,
) -> list[Grade]:
    """MIG, DCI, SAP, FactorVAE and beta-VAE scores of the posterior means, by known factors.

    `num_bins` of the mutual information, `num_trees` of each forest, and for each fixed factor
    `num_draws` of `num_images` images, or pairs of them. Dimensions that are not active count as
    ones that never vary. Factors that do not vary are left out.
    """
    settings = Settings(num_bins, num_trees, num_draws, num_images)
    columns = varying(subject.dataset)
    codes = _posterior_means(subject)
    coded = list(_coded(subject, codes.means, columns))
    each = [
        _scores(*parts, settings, seed)
        for seed, parts in zip(subject.noise.keys, coded, strict=True)
    ]
    doubts = [
        _doubts(*parts, scores, settings, seed) if finite else dict.fromkeys(scores, NOT_FINITE)
        for seed, parts, scores, finite in zip(
            subject.noise.keys, coded, each, codes.finite.tolist(), strict=True
        )
    ]
    active = f"dimensions of the {MEAN} with variance > {ACTIVE} on train"
    common = f"{active}; factors {', '.join(map(str, columns))}; test"
    return [
        _grade(
            name,
            [scores[name] for scores in each],
            f"{common}, {how}",
            tuple(of_run[name] for of_run in doubts),
            codes.finite,
        )
        for name, how in _protocols(settings, len(columns), codes.means[0].shape[-1]).items()
    ]


def varying(data: Dataset) -> list[int]:
    """The factors that have more than one value in train and in test."""
    several = [
        [len(np.unique(values)) > 1 for values in _factors(data, name, slice(None)).T]
        for name in PARTS
    ]
    return np.flatnonzero(np.all(several, axis=0)).tolist()


def _part(data: Dataset, name: PartName) -> Part:
    part: Part = getattr(data, name)
    return part


def _factors(data: Dataset, name: PartName, columns: list[int] | slice) -> Integers:
    """The factors of a part of the data, as integers [N, F]."""
    factors = _part(data, name).factors
    assert factors is not None, "refused before"
    return factors.numpy()[:, columns]


class PosteriorMeans(NamedTuple):
    """Posterior means of S runs, by which they are scored."""

    means: list[Tensor]  # [S, N, D] of train and test; 0 where not active or the run not finite
    finite: Tensor  # [S]


def _posterior_means(subject: Subject) -> PosteriorMeans:
    means = [
        posterior_means(subject.model, subject.observed(name), subject.noise.at(step=i))
        for i, name in enumerate(PARTS)
    ]
    finite = torch.cat(means, 1).isfinite().flatten(1).all(1)
    used = (is_active(means[0]) & finite[:, None])[:, None]
    return PosteriorMeans([torch.where(used, mean, 0.0) for mean in means], finite.cpu())


def _coded(
    subject: Subject, means: list[Tensor], columns: list[int]
) -> Iterator[tuple[Coded, Coded]]:
    """Codes and factors of each run, for the train and the test part."""
    factors = [_factors(subject.dataset, name, columns) for name in PARTS]
    for parts in zip(*(_codes(mean) for mean in means), strict=True):
        train, test = (Coded(codes, f) for codes, f in zip(parts, factors, strict=True))
        yield train, test


def _codes(mean: Tensor) -> Iterator[Numbers]:
    return (run.double().cpu().numpy() for run in mean)


def _scores(train: Coded, test: Coded, settings: Settings, seed: int) -> dict[str, float | Numbers]:
    """The scores of a run by name: a number, or one for each factor [F]."""
    draws = {"num_draws": settings.num_draws, "num_images": settings.num_images}
    dci_scores = dci(train, test, settings.num_trees, key(seed, "dci") % 2**32)
    return {
        "mig": mig(test, settings.num_bins),
        "dci_disentanglement": dci_scores.disentanglement,
        "dci_completeness": dci_scores.completeness,
        "dci_informativeness": dci_scores.informativeness,
        "sap": sap(train, test),
        "factor_vae_score": factor_vae_score(train, test, _rng(seed, "factor_vae"), **draws),
        "beta_vae_score": beta_vae_score(train, test, _rng(seed, "beta_vae"), **draws),
    }


def _doubts(
    train: Coded, test: Coded, scores: Mapping[str, float | Numbers], settings: Settings, seed: int
) -> dict[str, str]:
    """Why each score of a run should not be trusted, by name."""
    if not train.codes.any():
        return dict.fromkeys(scores, NONE_ACTIVE)
    gaps: dict[str, Score] = {"mig": lambda _, test: mig(test, settings.num_bins), "sap": sap}
    by_chance = {
        name: no_better_than_chance(
            score, train, test, float(np.mean(scores[name])), _rng(seed, f"{name} by chance")
        )
        for name, score in gaps.items()
    }
    complete = {"dci_completeness": complete_by_definition(train)}
    return {**dict.fromkeys(scores, ""), **by_chance, **complete}


def _rng(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng(key(seed, name))


def _protocols(settings: Settings, num_factors: int, num_dims: int) -> dict[str, str]:
    """How each score is computed, in words, by name."""
    forest = f"forests of {settings.num_trees} trees fitted on train"
    draws = f"{settings.num_draws} draws per factor of {settings.num_images}"
    chance = f"chance 1/{num_factors}"
    return {
        "mig": f"{settings.num_bins} bins of equal width",
        "dci_disentanglement": forest,
        "dci_completeness": forest
        + (", 1 of one dimension by definition" if num_dims == 1 else ""),
        "dci_informativeness": f"{forest}, accuracy, chance 1/values",
        "sap": "thresholds fitted on train, balanced accuracy adjusted for chance",
        "factor_vae_score": f"majority vote taught on train, {draws} images, {chance}",
        "beta_vae_score": f"logistic regression taught on train, {draws} pairs, {chance}",
    }


def _grade(
    name: str,
    of_runs: list[float | Numbers],
    protocol: str,
    doubts: tuple[str, ...],
    finite: Tensor,
) -> Grade:
    """The mean over factors, where there is a number for each; NaN for a run that is not finite."""
    scores = torch.from_numpy(np.array(of_runs))
    if scores.dim() == 1:
        return Grade(name, torch.where(finite, scores, torch.nan), protocol, doubts=doubts)
    parts = torch.where(finite[:, None], scores, torch.nan)
    return Grade(name, parts.mean(-1), protocol, doubts=doubts, parts=parts, axis="factor")
