"""Findings from tensors that must agree, and the values that hyperparameters are tried at."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vaebench.core.hyper import Hyper
from vaebench.diagnostics.certify.finding import NUM_ERRORS, ROUNDING, Finding


def near(
    name: str,
    fact: str,
    found: Tensor,
    expected: Tensor | float,
    allowed: float | Tensor = ROUNDING,
) -> Finding:
    """Two tensors agree everywhere: the finding is of the place where they do least.

    Where numbers are larger than one, rounding is allowed in proportion.
    """
    expected = torch.as_tensor(expected, dtype=torch.float64).detach()
    limits = allowed * (1.0 + expected.abs())
    off_by, limits = torch.broadcast_tensors((found.detach() - expected).abs(), limits)
    # A NaN is farther off than any number.
    return _at(name, fact, off_by, limits, (off_by - limits).nan_to_num(nan=math.inf))


def expected(name: str, fact: str, values: Tensor, exact: Tensor, bias: float = 0.0) -> Finding:
    """The means of [K, ...] independent values are those given [...], up to their standard error.

    `bias`: what is allowed beside it, where the estimate is known not to be without.
    """
    values, exact = values.detach(), exact.detach()
    errors = values.std(0) / math.sqrt(values.shape[0])
    allowed = NUM_ERRORS * errors + ROUNDING + bias
    off_by, allowed = torch.broadcast_tensors((values.mean(0) - exact).abs(), allowed)
    return _at(name, fact, off_by, allowed, (off_by / allowed).nan_to_num(nan=math.inf))


def _at(name: str, fact: str, off_by: Tensor, allowed: Tensor, badness: Tensor) -> Finding:
    """The finding of the worst place."""
    worst = badness.argmax()
    return Finding(
        name, fact, float(off_by.flatten()[worst]), float(allowed.flatten()[worst]), unit=""
    )


def holds(name: str, fact: str, true: bool) -> Finding:
    """A fact that is true or not, and never by a little."""
    return Finding(name, fact, 0.0 if true else math.inf, 0.0, unit="")


def two_values(hyper: Hyper, start: float | None = None) -> tuple[float, float]:
    """Two valid values of a hyperparameter that differ; `start`: the first, of a trained one."""
    first = hyper.default if start is None else start
    if hyper.search and start is None:
        low, high = (math.log(v) if hyper.log else v for v in hyper.search)
        values = [low + share * (high - low) for share in (0.25, 0.75)]
        one, other = (math.exp(v) if hyper.log else v for v in values)
    else:
        one = 0.4 if first is None else first
        other = 1.5 * one + 0.1
    one, other = (min(max(v, hyper.low), hyper.high) for v in (one, other))
    if one == other:  # at a limit: towards the other limit, or one off it
        other = 0.5 * (one + hyper.low) if math.isfinite(hyper.low) else one - 1.0
    return (round(one), round(one) + 1) if hyper.integer else (one, other)
