"""Whether the networks of a model can be trained in stacks and graded: tried on a few rows.

Shapes: S = 2 runs, N rows.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vaebench.core.errors import InputError, first_line
from vaebench.models.networks.entry import Model
from vaebench.models.networks.side_by_side import outputs
from vaebench.models.networks.sizes import Networks, Sizes
from vaebench.ops.noise import Noise, key, normals, uniforms

KEYS = key("trial", 0), key("trial", 1)
STEP = Noise(KEYS, step=7)
"""The random numbers of the step that is tried."""
NUM_ROWS, NUM_LOOKED_AT = 8, 2
ROUNDING = 1e-4
"""What two outputs in float32 may differ by, as a share of the largest, where that is above 1, and
where tensors of other shapes make other roundings. Of equal shapes, no bit differs."""


class Fact(NamedTuple):
    """How far one fact of a model is from holding."""

    what: str
    off_by: float
    allowed: float
    remedy: str

    @property
    def holds(self) -> bool:
        return self.off_by <= self.allowed


def check(entry: Model, sizes: Sizes, widths: Sequence[int], hyper: Mapping[str, Any]) -> None:
    """Raises InputError for the first fact that does not hold of a model, with what to do."""
    for fact in facts(entry, sizes, widths, hyper):
        if not fact.holds:
            raise InputError(
                f"model {entry.name!r} is refused, as this must hold: {fact.what}; {fact.remedy}"
            )


def facts(
    entry: Model, sizes: Sizes, widths: Sequence[int], hyper: Mapping[str, Any]
) -> list[Fact]:
    """Every fact of encoder and decoder. Raises InputError where they cannot be made."""

    def make(keys: tuple[int, ...]) -> Networks:
        noises = (Noise(keys, step=i) for i in itertools.count())
        return entry.build(sizes, widths, hyper, noises)

    with torch.random.fork_rng(devices=[]):  # who draws from it is to find it as it was
        return list(_facts(make, sizes))


def _facts(make: Callable[[tuple[int, ...]], Networks], sizes: Sizes) -> Iterator[Fact]:
    both, again, alone = make(KEYS), make(KEYS), make(KEYS[1:])
    yield Fact(
        "a seed gives the same initial weights whenever it is asked",
        max(_gap(a, b) for a, b in _pairs(both, again)),
        0.0,
        "draw them by torch, whose generator is seeded, and by nothing else",
    )
    yield Fact(
        "a run has the same initial weights alone and beside another",
        max(_gap(a[1:], b) for a, b in _pairs(both, alone)),
        0.0,
        "make every module within the function, and keep nothing from call to call",
    )
    x = uniforms(STEP, NUM_ROWS, sizes.pixels)
    z = normals(STEP, 1, NUM_ROWS, sizes.code)[0]
    for side, rows, stack, one in zip(("encoder", "decoder"), (x, z), both, alone, strict=True):
        yield from _of_side(side, rows, stack, one)


def _of_side(side: str, rows: Tensor, both: nn.Module, alone: nn.Module) -> Iterator[Fact]:
    try:
        before = [buffer.clone() for buffer in both.buffers()]
        trained = outputs(both, rows, STEP)
        yield _reaches_all(side, both, trained)
        for buffer, value in zip(both.buffers(), before, strict=True):
            buffer.copy_(value)  # what a layer keeps from step to step may decide what it gives
        yield Fact(
            f"{side}: what it gives in training is a function of seed and step",
            _gap(trained, outputs(both, rows, STEP)),
            0.0,
            "draw by nn.Dropout, F.dropout, torch.rand_like, torch.randn_like or torch.bernoulli, "
            "which get the numbers of the run, and keep no count of calls",
        )
        of_run = outputs(alone, rows[1:], Noise(KEYS[1:], step=STEP.step))
        yield Fact(
            f"{side}: a run is what it is alone",
            _gap(trained[1:], of_run),
            ROUNDING,
            "keep what differs between runs in parameters or buffers (register_buffer)",
        )
        yield from _in_evaluation(side, rows, both)
    except Exception as error:  # whatever a module of the user's may raise
        reason = f"it raised {type(error).__name__}: {first_line(error)}"
        yield Fact(f"{side}: it can be called in training and in evaluation", math.inf, 0.0, reason)


def _in_evaluation(side: str, rows: Tensor, network: nn.Module) -> Iterator[Fact]:
    with torch.no_grad():
        graded = outputs(network, rows, None)
        yield Fact(
            f"{side}: what it gives in evaluation is the same at every call",
            _gap(graded, outputs(network, rows, None)),
            0.0,
            "draw nothing in evaluation, as by F.dropout(x, p, self.training)",
        )
        few, beside = rows[:, :NUM_LOOKED_AT], rows.roll(1, 0)[:, NUM_LOOKED_AT:]
        among_others = outputs(network, torch.cat([few, beside], 1), None)
        alone = outputs(network, few, None)
    graded = graded[:, :NUM_LOOKED_AT]
    for company, others, allowed in (
        ("whatever others are beside it", among_others[:, :NUM_LOOKED_AT], 0.0),
        ("as beside no other", alone, ROUNDING),
    ):
        yield Fact(
            f"{side}: an example has in evaluation the same numbers {company}",
            _gap(graded, others),
            allowed,
            "an ELBO is of one example: take no mean over rows; batch normalisation needs its "
            "running statistics (track_running_stats=True)",
        )


def _reaches_all(side: str, network: nn.Module, out: Tensor) -> Fact:
    names, parameters = zip(*network.named_parameters(), strict=True)
    weights = torch.linspace(0.5, 1.5, out.numel()).view(out.shape)
    gradients = torch.autograd.grad((out * weights).sum(), parameters, allow_unused=True)
    left = [name for name, slope in zip(names, gradients, strict=True) if slope is None]
    shown = ", ".join(name.removeprefix("network.") for name in left)
    return Fact(
        f"{side}: every parameter has a gradient",
        len(left),
        0.0,
        f"{shown} has none: use it in forward, or remove it, or freeze it by requires_grad_(False)",
    )


def _pairs(some: Networks, others: Networks) -> Iterator[tuple[Tensor, Tensor]]:
    """The tensors of two makes of networks, in pairs."""
    for a, b in zip(some, others, strict=True):
        yield from zip(
            itertools.chain(a.parameters(), a.buffers()),
            itertools.chain(b.parameters(), b.buffers()),
            strict=True,
        )


def _gap(a: Tensor, b: Tensor) -> float:
    """The largest difference, as a share of the largest number where that is above 1; infinite
    where one is no number."""
    if a.shape != b.shape:
        return math.inf
    if not a.numel():
        return 0.0
    a, b = a.detach().double(), b.detach().double()
    gap = ((a - b).abs().max() / b.abs().max().clamp_min(1.0)).item()
    return math.inf if math.isnan(gap) else gap
