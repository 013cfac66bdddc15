"""Posterior predictive checks of counts: whether a model's own data look like those that it saw."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from vaebench import ops
from vaebench.core.about import About
from vaebench.data import Dataset
from vaebench.evaluation.chunks import bytes_for, rows_within
from vaebench.evaluation.grading import Grade, Graded, Subject, grading
from vaebench.evaluation.samples.drawn import some
from vaebench.evaluation.samples.intervals import Estimate, jackknife, normal
from vaebench.models.posteriors import Drawing
from vaebench.ops.noise import Noise

NUM_BLOCKS = 20
"""Blocks of examples that the jackknife leaves out, one at a time."""
METRICS = ("zeros_gap", "dispersion_gap")


@grading(
    source="Gelman, Meng & Stern 1996; Lopez et al. 2018 (scVI)",
    about=About(
        formula=r"\text{zeros gap} = \Pr(\tilde{x} = 0) - \Pr(x = 0), \qquad "
        r"\text{dispersion gap} = \log "
        r"\frac{\mathrm{Var}(\tilde{x})}{E(\tilde{x})} - \log "
        r"\frac{\mathrm{Var}(x)}{E(x)}",
        wrong_when="On numbers that are no counts. A model that fits both may be wrong elsewhere.",
    ),
)
def predictive(subject: Subject) -> list[Grade]:
    """How counts drawn from p(x|z), z from q(z|x) of each test example, differ from those counts.

    In their share of zeros, and in how their variance goes with their mean: the log of variance
    over mean of each column, less that of the data, on average over the columns. Both are 0 where
    the model gives data like those that it saw, up to the interval; for numbers that are no counts
    they say nothing.
    """
    if reason := _meaningless(subject):
        nothing = torch.full((subject.model.num_runs,), torch.nan)
        return [Grade(name, nothing, "test", absent=reason) for name in METRICS]
    test = subject.observed("test")
    replicas = replicated(subject.model, test, subject.noise).double().cpu()
    counts = test.double().cpu()
    zeros, dispersion = zeros_gap(counts, replicas), dispersion_gap(counts, replicas)
    stated = f"{len(test)} test examples, one replica of each from p(x|z), z from q(z|x)"
    of_zeros, of_dispersion = _reference(subject.dataset)
    over = f"log of variance / mean, over columns; jackknife over {NUM_BLOCKS} blocks of examples"
    return [
        _grade("zeros_gap", zeros, f"{stated}; reference training examples", of_zeros),
        _grade(
            "dispersion_gap",
            dispersion,
            f"{stated}; {over}; reference training examples",
            of_dispersion,
        ),
    ]


def _meaningless(subject: Subject) -> str:
    dataset, likelihood = subject.dataset, subject.model.likelihood
    if dataset.values != "counts":
        return "checks of counts are for data with values = 'counts'"
    if likelihood.sample is None:
        return f"likelihood {likelihood.name!r} declares no sampler"
    if len(dataset.test) < NUM_BLOCKS:
        return f"{len(dataset.test)} test examples are fewer than {NUM_BLOCKS} blocks"
    return ""


def _grade(name: str, estimate: Estimate, protocol: str, reference: float) -> Grade:
    parts = None if estimate.parts is None else estimate.parts.float()
    return Grade(
        name, estimate.value, protocol, estimate.low, estimate.high, reference, parts=parts
    )


@torch.no_grad()
def replicated(model: Graded, x: Tensor, noise: Noise) -> Tensor:
    """A replica of each example x [N, P] by each model: [S, N, P]."""

    def some(rows: Tensor, noise: Noise) -> Tensor:
        stacked = rows.expand(model.num_runs, *rows.shape)
        draw = model.posterior(stacked).draw(Drawing(noise, 1, ops, wanted="log_qz_x"))
        return model.sample_image(draw.z, noise.named("counts"), stacked)[0]

    num_rows = rows_within(bytes_for(x.device), lambda: some(x[:1], noise))
    parts = [some(rows, noise.at(row=i * num_rows)) for i, rows in enumerate(x.split(num_rows))]
    return torch.cat(parts, 1)


def zeros_gap(counts: Tensor, replicas: Tensor) -> Estimate:
    """The share of zeros in replicas [S, N, P] less that in the counts [N, P]: [S]."""
    gaps = (replicas == 0).double().mean(-1) - (counts == 0).double().mean(-1)
    mean = gaps.mean(-1)
    interval = normal(mean, gaps.var(-1) / gaps.shape[-1])
    return Estimate(mean, interval.low, interval.high, gaps)


def dispersion_gap(counts: Tensor, replicas: Tensor) -> Estimate:
    """The mean over columns of log(variance / mean) of replicas, less that of the counts: [S].

    Of columns that vary in both.
    """
    blocks = torch.arange(len(counts)) % NUM_BLOCKS

    def gap(kept: Tensor) -> Tensor:
        ours, theirs = _log_dispersion(replicas[:, kept]), _log_dispersion(counts[kept])
        return (ours - theirs).nanmean(-1)

    left_out = torch.stack([gap(blocks != block) for block in range(NUM_BLOCKS)])
    return normal(gap(blocks >= 0), jackknife(left_out))


def _log_dispersion(x: Tensor) -> Tensor:
    """log(variance / mean) of each column: [..., N, P] -> [..., P]; NaN where it does not vary."""
    variance = x.var(-2)
    ratio = (variance / x.mean(-2)).log()
    return torch.where(variance > 0, ratio, torch.nan)


@functools.lru_cache(maxsize=4)
def _reference(dataset: Dataset) -> tuple[float, float]:
    """Both gaps with as many training examples in place of replicas."""
    num = min(len(dataset.train), len(dataset.test))
    train, test = (some(part, num, "reference").double() for part in (dataset.train, dataset.test))
    zeros, dispersion = zeros_gap(test, train[None]), dispersion_gap(test, train[None])
    return float(zeros.value), float(dispersion.value)
