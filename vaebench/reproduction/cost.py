"""What a claim costs here, foretold: counted operations over the rates of this machine's core."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from vaebench.config import RunConfig
from vaebench.config.build import build_stack, load_data
from vaebench.config.study import expand
from vaebench.core.errors import InputError, first_line
from vaebench.core.timing import threads
from vaebench.reproduction.claim import Claim, ScaleName, names, read_claim
from vaebench.running.choosing import SAVED_PER_STEP
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
    dataset = load_data(config.data)
    model = build_stack([config], dataset.image_shape, dataset.log_volume)
    weights = sum(p.numel() for p in model.decoder.parameters())
    num_samples = config.evaluate.num_samples * (len(dataset.test) + len(dataset.valid))
    of_sample = 2 * weights / core.flops + dataset.num_pixels / core.elements
    return config.train.num_steps * of_step + num_samples * of_sample


def claim_s(claim: Claim, scale: ScaleName, core: Core) -> float:
    """Seconds of one core for a claim at a scale. Raises InputError where data cannot be had."""
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


def foretold(core: Core | None = None) -> list[Mapping[str, str]]:
    """A line for each claim: its title, what each scale costs, and what it needs or lacks."""
    core = core or this_core()
    return [_line(read_claim(name), core) for name in names()]


def _line(claim: Claim, core: Core) -> dict[str, str]:
    costs = {scale: _cost(claim, scale, core) for scale in ("cpu", "full")}
    needs = f"lacks: {claim.lacks}" if claim.lacks else claim.needs
    return {"name": claim.name, "claim": claim.title, **costs, "needs": needs}


def _cost(claim: Claim, scale: ScaleName, core: Core) -> str:
    if claim.lacks or scale not in claim.scales:
        return "-"
    try:
        return duration(claim_s(claim, scale, core))
    except InputError as error:
        return first_line(error)


def duration(seconds: float) -> str:
    """Seconds in the unit that people would say: "40 s", "12 min", "3.5 h", "6 days"."""
    for unit, length, most in (("s", 1.0, 90.0), ("min", 60.0, 5400.0), ("h", 3600.0, 172800.0)):
        if seconds < most:
            return f"{seconds / length:.2g} {unit}"
    return f"{seconds / 86400.0:.2g} days"
