"""What a claim costs here, foretold: counted operations over the rates of this machine's core."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from vaebench.config import RunConfig, value_at
from vaebench.config.study import Study, expand
from vaebench.core.shown import duration
from vaebench.core.timing import threads
from vaebench.data.lookup import stored_files
from vaebench.data.publishers import SOURCES
from vaebench.reproduction.claim import Claim, ScaleName, names, read_claim
from vaebench.running.choosing import SAVED_PER_STEP
from vaebench.running.foretold import grading_s
from vaebench.running.plan import stacks
from vaebench.running.work import step_work

SHAPE = (128, 512, 512)
"""Rows, inputs and outputs of the product that is timed, as of a layer of these claims."""
MEASURED_S = 0.05
"""Seconds for which each rate is measured."""


@dataclass(frozen=True)
class Core:
    """What one core of this machine does in a second."""

    flops: float
    """Operations in products of matrices."""
    elements: float
    """Numbers that other operations write."""


def this_core() -> Core:
    """Measure one core, in a tenth of a second."""
    rows, inputs, outputs = SHAPE
    x, w = torch.ones(rows, inputs), torch.ones(inputs, outputs)
    with threads(1):
        products = _per_second(lambda: x @ w)
        writes = _per_second(lambda: torch.sigmoid(x))
    return Core(2 * rows * inputs * outputs * products, x.numel() * writes)


def _per_second(call: Callable[[], object]) -> float:
    """How often a second it can be called, by its fastest call: others may be at work here."""
    end, fastest = time.perf_counter() + MEASURED_S, math.inf
    while (start := time.perf_counter()) < end:
        call()
        fastest = min(fastest, time.perf_counter() - start)
    return 1.0 / fastest


def run_s(config: RunConfig, core: Core) -> float:
    """Seconds to train and grade a run: its steps, and the samples of its NLL."""
    step = step_work(config)
    of_step = step.flops / core.flops + step.elements / core.elements
    return config.train.num_steps * of_step + grading_s(config)


def claim_s(claim: Claim, scale: ScaleName, core: Core) -> float:
    """Seconds of one core for a claim at a scale."""
    study, measured = claim.study_at(scale), claim.scale(scale).gradients
    if measured is None:
        return total_s(expand(study), core)
    configs = expand(study)
    step = step_work(configs[0])
    # An estimator's replicas, twice as many of its reference, and a quarter of the tightest bound.
    gradients = 3.0 * measured.replicas * sum(measured.samples)
    gradients += 0.25 * measured.replicas * 8 * max(measured.samples)
    steps = len(measured.seeds) * (max(measured.at) + gradients / configs[0].num_samples)
    return steps * (step.flops / core.flops + step.elements / core.elements)


def total_s(configs: Sequence[RunConfig], core: Core) -> float:
    """Seconds of one core for the runs, those that can be stacked side by side."""
    seconds = 0.0
    for stack in stacks(configs):
        dispatch = SAVED_PER_STEP * stack[0].train.num_steps
        seconds += dispatch + len(stack) * run_s(stack[0], core)
    return seconds


@dataclass(frozen=True)
class Foretold:
    """A claim with the seconds of one core that its scales take; None where that is not known."""

    name: str
    title: str
    cpu_s: float | None
    full_s: float | None
    needs: str
    """What it needs beside time, or why a cost is not known."""

    @property
    def words(self) -> dict[str, str]:
        """The line of a table."""
        costs = {"cpu": self.cpu_s, "full": self.full_s}
        shown = {name: "-" if s is None else duration(s) for name, s in costs.items()}
        return {"name": self.name, "claim": self.title, **shown, "needs": self.needs}


def foretold(core: Core | None = None) -> list[Foretold]:
    """Every claim of the suite with its costs. Fetches no data."""
    core = core or this_core()
    return [_of_claim(read_claim(name), core) for name in names()]


def _of_claim(claim: Claim, core: Core) -> Foretold:
    if claim.lacks:
        return Foretold(claim.name, claim.title, None, None, f"the suite lacks {claim.lacks}")
    costs: dict[ScaleName, float] = {}
    needs = claim.needs
    for scale in claim.scales:
        if missing := _missing(claim.study_at(scale)):
            needs = f"{missing}.npz, which is fetched or put into $VAEBENCH_DATA"
        else:
            costs[scale] = claim_s(claim, scale, core)
    return Foretold(claim.name, claim.title, costs.get("cpu"), costs.get("full"), needs)


def _missing(study: Study) -> str:
    """The name of the study's published data set where it is not on this machine; else ""."""
    name = str(value_at(study.base, "data.name"))
    return name if name in SOURCES and not stored_files(name) else ""
