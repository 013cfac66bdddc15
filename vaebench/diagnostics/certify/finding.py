"""One declared fact, and what was found of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

NUM_ERRORS = 4.5
"""Standard errors that an expectation may be off by: a false alarm in 150,000 checks."""
ROUNDING = 1e-9


@dataclass(frozen=True)
class Finding:
    """One declared fact and what was found of it."""

    name: str
    """The entry that it is of."""
    fact: str
    off_by: float
    """How far the fact is from holding: at most `allowed` where it holds."""
    allowed: float
    unit: str = "nats"
    """Of both numbers."""
    kind: str = ""
    """Objective, likelihood, prior or posterior."""
    declared: bool = True
    """Otherwise it is worth knowing where it does not hold, but no fault: a remark."""

    @property
    def holds(self) -> bool:
        return self.off_by <= self.allowed

    @property
    def fails(self) -> bool:
        """Whether the entry is not what it declares."""
        return self.declared and not self.holds

    @property
    def result(self) -> str:
        """In a word."""
        if self.holds:
            return "holds"
        return "FAILS" if self.declared else "remark"

    def as_row(self) -> dict[str, str]:
        """For a table."""
        return {
            "kind": self.kind,
            "name": self.name,
            "fact": self.fact,
            "off by": f"{self.off_by:.3g}",
            "allowed": f"{self.allowed:.3g}",
            "unit": self.unit,
            "result": self.result,
        }


def at_most(name: str, fact: str, values: Tensor) -> Finding:
    """E[values] <= 0, up to the standard error."""
    return Finding(name, fact, float(values.mean()), allowance(values))


def equal(name: str, fact: str, values: Tensor) -> Finding:
    """E[values] = 0, up to the standard error."""
    return Finding(name, fact, abs(float(values.mean())), allowance(values))


def allowance(values: Tensor) -> float:
    return NUM_ERRORS * float(values.std()) / math.sqrt(values.numel()) + ROUNDING


def same(name: str, fact: str, left: Tensor, right: Tensor, allowed: float = ROUNDING) -> Finding:
    """left = right, element by element."""
    return Finding(name, fact, largest(left - right), allowed)


def changes(name: str, fact: str, left: Tensor, right: Tensor) -> Finding:
    """left and right differ somewhere."""
    return Finding(name, fact, ROUNDING - largest(left - right), 0.0)


def centred(name: str, fact: str, samples: Tensor, blur: float = 0.0) -> Finding:
    """E[samples] = 0 in every column of [R, n]: the largest t-statistic of R independent rows.

    `blur`: what a mean may be off by without counting.
    """
    error = samples.std(0) / math.sqrt(len(samples))
    excess = (samples.mean(0).abs() - blur).clamp_min(0.0)
    t = excess / (error + ROUNDING / NUM_ERRORS)
    return Finding(name, fact, largest(t), NUM_ERRORS, "standard errors")


def largest(difference: Tensor) -> float:
    """The largest magnitude, infinite where a value is no number."""
    value = float(difference.abs().max()) if difference.numel() else 0.0
    return math.inf if math.isnan(value) else value


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
