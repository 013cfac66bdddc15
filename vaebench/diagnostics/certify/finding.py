"""Findings: how far a declared fact is from holding, and how far it may be."""

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
    """How far one fact of an entry is from holding."""

    name: str
    """The name of the entry."""
    fact: str
    off_by: float
    """How far the fact is from holding: at most `allowed` where it holds."""
    allowed: float
    unit: str = "nats"
    """The unit of `off_by` and `allowed`."""
    kind: str = ""
    """Objective, likelihood, prior, posterior or model."""
    declared: bool = True
    """Whether the entry claims the fact; if not, its failure is a remark, no fault."""

    @property
    def holds(self) -> bool:
        return self.off_by <= self.allowed

    @property
    def fails(self) -> bool:
        """Whether the entry is not what it declares."""
        return self.declared and not self.holds

    @property
    def result(self) -> str:
        """The outcome in one word: holds, FAILS or remark."""
        if self.holds:
            return "holds"
        return "FAILS" if self.declared else "remark"

    def as_row(self) -> dict[str, str]:
        """The finding as a row of a table."""
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
    """Finding that E[values] <= 0, up to the standard error."""
    return Finding(name, fact, float(values.mean()), allowance(values))


def equal(name: str, fact: str, values: Tensor) -> Finding:
    """Finding that E[values] = 0, up to the standard error."""
    return Finding(name, fact, abs(float(values.mean())), allowance(values))


def allowance(values: Tensor) -> float:
    """What the mean of the values may be off by: some standard errors, and rounding."""
    return NUM_ERRORS * float(values.std()) / math.sqrt(values.numel()) + ROUNDING


def same(name: str, fact: str, left: Tensor, right: Tensor, allowed: float = ROUNDING) -> Finding:
    """Finding that left = right, element by element."""
    return Finding(name, fact, largest(left - right), allowed)


def changes(name: str, fact: str, left: Tensor, right: Tensor) -> Finding:
    """Finding that left and right differ somewhere."""
    return Finding(name, fact, ROUNDING - largest(left - right), 0.0)


def centred(name: str, fact: str, samples: Tensor, blur: float = 0.0) -> Finding:
    """Finding that E[samples] = 0 in every column of R independent rows [R, n], by the largest t.

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
    values: Tensor,
    expected: Tensor | float,
    allowed: float | Tensor = ROUNDING,
) -> Finding:
    """Finding that two tensors agree everywhere, at the place where they agree least.

    Where numbers are larger than one, rounding is allowed in proportion.
    """
    expected = torch.as_tensor(expected, dtype=torch.float64).detach()
    limits = allowed * (1.0 + expected.abs())
    off_by, limits = torch.broadcast_tensors((values.detach() - expected).abs(), limits)
    # A NaN is farther off than any number.
    return _at(name, fact, off_by, limits, (off_by - limits).nan_to_num(nan=math.inf))


def expected(name: str, fact: str, values: Tensor, exact: Tensor, bias: float = 0.0) -> Finding:
    """Finding that means of K independent values [K, ...] are `exact` [...], up to their error.

    `bias`: allowed beside it, for an estimate that is known to be biased.
    """
    values, exact = values.detach(), exact.detach()
    errors = values.std(0) / math.sqrt(values.shape[0])
    allowed = NUM_ERRORS * errors + ROUNDING + bias
    off_by, allowed = torch.broadcast_tensors((values.mean(0) - exact).abs(), allowed)
    return _at(name, fact, off_by, allowed, (off_by / allowed).nan_to_num(nan=math.inf))


def _at(name: str, fact: str, off_by: Tensor, allowed: Tensor, badness: Tensor) -> Finding:
    """The finding at the element where `badness` is largest."""
    worst = badness.argmax()
    return Finding(
        name, fact, float(off_by.flatten()[worst]), float(allowed.flatten()[worst]), unit=""
    )


def holds(name: str, fact: str, true: bool) -> Finding:
    """Finding of a fact that is true or false, with no measure in between."""
    return Finding(name, fact, 0.0 if true else math.inf, 0.0, unit="")
