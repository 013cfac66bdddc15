"""A model trained elsewhere: what decides its grades, its evaluation and its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import torch
from torch.distributions import Distribution as TorchDistribution

from vaebench import ops, results
from vaebench.config import (
    Choice,
    DataConfig,
    EvaluateConfig,
    chosen,
    convert,
    digest,
    evaluation_settings,
    flat,
    observation_space,
)
from vaebench.config.build import check_support, load_data, subject_by
from vaebench.core.errors import InputError, first_line
from vaebench.core.sources import load_file
from vaebench.data import Dataset
from vaebench.evaluation import Subject, budget
from vaebench.evaluation import evaluate as evaluate_subject
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.models.priors import PRIORS, BoundPrior
from vaebench.ops.noise import Noise, key
from vaebench.results import Labels, Record
from vaebench.running.environment import describe
from vaebench.running.external.doubts import doubts_of, marked
from vaebench.running.external.model import Decode, Encode, external_model, from_torch
from vaebench.running.grading import files, lost

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Entrant:
    """A model from elsewhere with all that decides its grades.

    `encode`: images [B, P] -> mean and log-variance of q(z|x), [B, D] each, or a Normal over z.
    `decode`: codes [n, D] -> what the likelihood takes: logits [n, P] for Bernoulli, means for
    Gaussian, all that `vaebench list likelihoods` says. The P pixels are the axes of a stored image
    in row-major order: `x.reshape(-1, *image_shape)` is as the data set's file has it. Both must
    be fit to be evaluated: no dropout, no batch statistics. `likelihood`, `data` and `prior` are
    names, or tables as in a study; the data may also be the path of an .npz file or a DataConfig,
    and the prior a torch.distributions object. `evaluate`: the table of a study.
    """

    encode: Encode
    decode: Decode
    likelihood: str | Mapping[str, Any]
    data: str | Path | Mapping[str, Any] | DataConfig
    prior: str | Mapping[str, Any] | TorchDistribution = "standard_normal"
    name: str = "given"
    """The name by which tables show it."""
    seed: int = 0
    """The seed it was trained with, for comparisons by seed; the evaluation draws with it too."""
    evaluate: Mapping[str, Any] = field(default_factory=dict)
    device: str = "cpu"


@dataclass(frozen=True)
class Entered:
    """An entrant whose names of likelihood, prior and data have been looked up."""

    entrant: Entrant
    likelihood: Choice
    prior: Choice | TorchDistribution
    data: DataConfig
    settings: EvaluateConfig
    dataset: Dataset

    @property
    def labels(self) -> Labels:
        """What tables show of it: data, likelihood, name, settings and seed."""
        measure = LIKELIHOODS[self.likelihood.name].measure
        settings = flat(evaluate=self.settings)
        return Labels(
            dataset=self.data.label,
            likelihood=str(self.likelihood),
            objective="given",
            hyper="{}",
            variant=self.entrant.name,
            num_samples=1,
            observation_space=observation_space(self.data, measure, self.settings.num_samples),
            settings=" ".join(f"{name}={value}" for name, value in settings.items()),
            seed=self.entrant.seed,
        )

    def id(self, mark: str) -> str:
        """The id of its record: a hash of the labels and of a mark of the model.

        So the same model is recorded once, and another one of its name and seed never replaces it.
        """
        return digest(msgspec.to_builtins(self.labels) | {"mark": mark})


def evaluate(
    encode: Encode,
    decode: Decode,
    likelihood: str | Mapping[str, Any],
    data: str | Path | Mapping[str, Any] | DataConfig,
    prior: str | Mapping[str, Any] | TorchDistribution = "standard_normal",
    *,
    out: str | Path | None = None,
    **more: Any,
) -> pd.DataFrame:
    """Grade a model trained elsewhere: its rows, as `vb.run` gives them.

    `encode` takes, and `decode` returns, images as rows of P pixels: the axes that are stored,
    [H, W, C] or [C, H, W] or others, flattened row-major, the last one fastest.
    Arguments and further ones (name, seed, evaluate, device) are the fields of `Entrant`. With
    `out`, the model is recorded there beside the runs of a study, to be compared with them.
    Raises InputError for what cannot be graded, which `out` also gets a record of.
    """
    entrant = Entrant(encode, decode, likelihood, data, prior, **more)
    return results.frame([grade(entrant, None if out is None else Path(out))])


def grade(entrant: Entrant, out: Path | None = None) -> Record:
    """Evaluate an entrant, and record it in the folder `out`, where one is named.

    Raises InputError for a model that cannot be graded.
    """
    entered = enter(entrant)
    if out is not None:
        results.prepare(out)
    mark = "refused"
    try:
        ops.forget_paths()
        graded, mark = subject(entered)
        evaluation = evaluate_subject(graded, entered.settings.wanted)
        doubt = doubts_of(graded)
        metrics = results.metrics([marked(grade, doubt) for grade in evaluation.grades], 0)
        if reason := lost(metrics):
            raise InputError(f"the figures of {entrant.name!r} must be finite; {reason}")
    except InputError as error:
        if out is not None:
            results.write(out, _record(entered, mark, "failed", reason=str(error)))
        raise
    record = _record(entered, mark, "done", metrics=metrics)
    if out is not None:
        for file in files(record.run, evaluation, 0, entered.dataset):
            results.write_part(out, file.part, file.run, file.content)
        results.write(out, record)
    return record


def estimate_seconds(entrant: Entrant) -> dict[str, float]:
    """How many seconds each grading of an entrant will take, by name. Raises InputError."""
    entered = enter(entrant)
    return budget(subject(entered)[0], entered.settings.wanted)


def read(path: Path, **evaluate: Any) -> Entrant:
    """The model that a Python file defines by the names of the fields of `Entrant`; it is named as
    the file is where it gives no name.

    `evaluate`: settings that go before those of the file. Raises InputError.
    """
    module = load_file(str(path))
    names = [f.name for f in fields(Entrant)]
    values = {"name": path.stem} | {n: getattr(module, n) for n in names if hasattr(module, n)}
    for name in ("encode", "decode", "likelihood", "data"):
        if name not in values:
            raise InputError(f"{path} must define {name}, as vb.evaluate takes it; it does not")
    return Entrant(**values | {"evaluate": dict(values.get("evaluate", {})) | evaluate})


def enter(entrant: Entrant) -> Entered:
    """Look up what the entrant names, and check its data. Raises InputError."""
    _check_fields(entrant)
    data = convert(_data_table(entrant.data), DataConfig)
    dataset = load_data(data)
    likelihood = chosen(LIKELIHOODS, entrant.likelihood)
    check_support(dataset, likelihood.name)
    prior = entrant.prior
    return Entered(
        entrant,
        likelihood,
        prior if isinstance(prior, TorchDistribution) else chosen(PRIORS, prior),
        msgspec.structs.replace(data, fingerprint=dataset.fingerprint),
        evaluation_settings(entrant.evaluate),
        dataset,
    )


def _check_fields(entrant: Entrant) -> None:
    if not (isinstance(entrant.name, str) and entrant.name):
        raise InputError(f"name must be a word; got {entrant.name!r}")
    if not (isinstance(entrant.seed, int) and 0 <= entrant.seed < 2**63):
        raise InputError(f"seed must be a whole number from 0 to 2**63 - 1; got {entrant.seed!r}")
    try:
        torch.empty(0, device=entrant.device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"device must be there; got {entrant.device!r}: {first_line(error)}"
        ) from error


def subject(entered: Entered) -> tuple[Subject, str]:
    """The entrant as gradings see it, and a mark of its model.

    Raises InputError for a model that cannot be graded.
    """
    entrant = entered.entrant
    model, mark = external_model(
        entrant.encode,
        entrant.decode,
        LIKELIHOODS[entered.likelihood.name],
        _numbers(entered.likelihood),
        _bound(entered.prior),
        entered.dataset,
        entrant.device,
    )
    noise = Noise((key(entrant.seed, "evaluate"),))
    return subject_by(entered.settings, model, entered.dataset, noise), mark


def _bound(prior: Choice | TorchDistribution) -> BoundPrior:
    if isinstance(prior, TorchDistribution):
        return from_torch(prior)
    entry = PRIORS[prior.name]
    if entry.learned or entry.discrete:
        raise InputError(
            f"prior {prior.name!r} is trained or discrete, which a model from elsewhere cannot "
            f"hand over by name: give a torch.distributions object over z"
        )
    return BoundPrior(entry, _numbers(prior))


def _numbers(choice: Choice) -> dict[str, Any]:
    return dict(choice.hyper)


def _data_table(data: str | Path | Mapping[str, Any] | DataConfig) -> dict[str, Any]:
    """A data set's table, as in a study. Raises InputError for images themselves."""
    match data:
        case str() | Path():
            return {"name": str(data)}
        case DataConfig():
            return dict(msgspec.to_builtins(data))
        case Mapping() if not any(str(key).startswith("x_") for key in data):
            return {key: str(v) if isinstance(v, Path) else v for key, v in data.items()}
    raise InputError(
        f"data must be a name, the path of an .npz file, a table as in a study or a DataConfig; "
        f"got {type(data).__name__}: save images first, as numpy.savez('mine.npz', "
        f"x_train=..., x_test=...), and give data='mine.npz'"
    )


def _record(entered: Entered, mark: str, status: results.Status, **contents: Any) -> Record:
    return Record(
        run=entered.id(mark),
        study=entered.entrant.name,
        labels=entered.labels,
        status=status,
        environment=describe(entered.entrant.device),
        operations=ops.paths(),
        **contents,
    )


__all__ = ["Entrant", "estimate_seconds", "evaluate", "grade", "read"]
