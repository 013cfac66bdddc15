"""What models promise: networks that train in stacks as alone, and grade each example alone.

What is tried of the networks themselves is in `models/networks/trial.py`; here they train, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from vaebench.config import RunConfig, parse
from vaebench.config.build import build_stack, family_of
from vaebench.core.errors import InputError, first_line
from vaebench.core.user_code import is_users
from vaebench.data import Dataset, load
from vaebench.data.images import Images
from vaebench.diagnostics.certify.finding import Finding, holds
from vaebench.models.networks import ImageShape, Model
from vaebench.models.networks.trial import Fact, facts
from vaebench.training.loop import training_steps
from vaebench.training.step import MakeBlocks
from vaebench.training.stepping.eager import eager
from vaebench.training.stepping.ways import WAYS

SHAPES: tuple[ImageShape, ...] = (8, 8), (28, 28), (32, 32, 3), (64, 64, 3), (16,)
WIDTHS: tuple[tuple[int, ...], ...] = (16, 8), (16,), ()
"""Examples, and hidden layers, of which the first is taken that a model does not refuse."""
NUM_RUNS, NUM_STEPS, BATCH = 3, 6, 16
NUM_EXAMPLES = 64
IN_TRAINING = 1e-3
"""What losses in float32 may differ by after some steps of Adam, as a share of the loss."""


class Case(NamedTuple):
    """Runs of a model, and data that it takes."""

    configs: list[RunConfig]
    dataset: Dataset


def check_model(entry: Model) -> Iterator[Finding]:
    """Every fact of one model, on the first kind of examples that it takes."""
    case = _case(entry)
    if isinstance(case, InputError):
        yield holds(entry.name, f"its networks can be made: {case}", False)
        return
    shown = "x".join(map(str, case.dataset.image_shape))
    yield holds(entry.name, f"takes and gives what it should, for examples {shown}", True)
    for fact in _facts(entry, case):
        words = fact.what if fact.holds else f"{fact.what}: {fact.remedy}"
        yield Finding(entry.name, words, fact.off_by, fact.allowed, unit="")
    yield _check_stack(entry, case)
    if is_users(entry.networks):  # of the package's own models, tests compile all kinds of layers
        yield _check_compiled(entry, case)


def covered() -> str:
    """The range that the checks cover, in words."""
    return (
        f"at the defaults of its hyperparameters; stacks of {NUM_RUNS} runs, {NUM_STEPS} steps of "
        f"{BATCH} examples"
    )


def _case(entry: Model) -> Case | InputError:
    """The first case that the model does not refuse; else why it refuses the first of all."""
    refusals: list[InputError] = []
    for image_shape in SHAPES:
        for widths in WIDTHS if entry.takes_widths else ((),):
            try:
                configs = [_config(entry, widths, seed) for seed in range(NUM_RUNS)]
                if reason := entry.refuses_images(image_shape, widths):
                    raise InputError(reason)
                build_stack(configs, image_shape)
                return Case(configs, _dataset(image_shape))
            except InputError as error:
                refusals.append(error)
    return refusals[0]


def _config(entry: Model, widths: Sequence[int], seed: int) -> RunConfig:
    model = {"name": entry.name, "latent_dim": 4, "widths": list(widths)}
    train = {"num_steps": NUM_STEPS, "batch_size": BATCH}
    table = {"objective": "elbo", "likelihood": "gaussian_per_pixel", "train": train}
    return parse({**table, "model": model, "seed": seed})


def _dataset(image_shape: ImageShape) -> Dataset:
    """Random images of a shape."""
    generator = torch.Generator().manual_seed(0)
    size = NUM_EXAMPLES, math.prod(image_shape)
    images = Images(torch.rand(size, generator=generator))
    digits = load("digits", "none")
    part = replace(digits.train, images=images, y=None)
    return replace(digits, image_shape=image_shape, train=part, valid=part, test=part)


def _facts(entry: Model, case: Case) -> list[Fact]:
    first = case.configs[0]
    sizes = family_of(first).sizes(case.dataset.image_shape)
    return facts(entry, sizes, first.model.widths, first.model.hyper)


def _check_stack(entry: Model, case: Case) -> Finding:
    stacked = _losses(case)
    alone = [_losses(case._replace(configs=[config])) for config in case.configs]
    return _alike(entry.name, "a stack trains as its runs alone", stacked, torch.cat(alone, -1))


def _check_compiled(entry: Model, case: Case) -> Finding:
    """Where its steps cannot be compiled, they are eager, which is a remark."""
    with torch.random.fork_rng(devices=[]):
        try:
            compiled = _losses(case, WAYS["compiled"]())
        except RuntimeError as error:
            fact = f"compiled steps are the eager ones: eager alone, as {first_line(error)}"
            return Finding(entry.name, fact, math.inf, 0.0, unit="", declared=False)
    return _alike(entry.name, "compiled steps are the eager ones", compiled, _losses(case))


def _losses(case: Case, make_blocks: MakeBlocks = eager) -> Tensor:
    """The losses of the runs from their first step on: [T, S]."""
    configs, dataset = case
    model = build_stack(configs, dataset.image_shape)
    return torch.cat([s.losses for s in training_steps(model, configs, dataset, make_blocks)])


def _alike(name: str, fact: str, losses: Tensor, expected: Tensor) -> Finding:
    """Finding that losses are others', as a share of them."""
    gap = ((losses - expected).abs() / expected.abs().clamp_min(1.0)).max().item()
    remedy = (
        ""
        if gap <= IN_TRAINING
        else ": keep what is drawn, counted or kept in parameters and "
        "buffers, and call no code but PyTorch's"
    )
    off_by = math.inf if math.isnan(gap) else gap
    return Finding(name, f"{fact}{remedy}", off_by, IN_TRAINING, unit="share of the loss")
