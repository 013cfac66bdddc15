"""Whether a likelihood is a density over its support, with its mean: by sums and integrals."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from vaebench.diagnostics.certify.cases import likelihood as decoded
from vaebench.diagnostics.certify.cases.likelihood import PIXELS
from vaebench.diagnostics.certify.exact.integrals import Grid, over_interval, over_values
from vaebench.diagnostics.certify.finding import Finding, holds, near
from vaebench.models.likelihoods import Likelihood

LEVELS = (0.0, 1.0, 1.0, 3.0, 10.0)
"""Sizes of the decoder outputs at which a density is integrated."""


EXACT, COARSE = 1e-6, 1e-3
"""What an integral may be off by, beside what fewer points change; and the most of both."""


def check_density(entry: Likelihood) -> Iterator[Finding]:
    """The density of one pixel integrates to 1 and has its mean, at small and large outputs."""
    is_mass = entry.support.values is not None
    fact = "a mass is over values, a density over an interval"
    yield holds(entry.name, fact, (entry.measure == "mass") == is_mass)
    integrals, means, errors = (torch.stack(part) for part in zip(*_integrals(entry), strict=True))
    allowed = (EXACT + 2.0 * errors).clamp(max=COARSE)
    what = f"{'sums' if is_mass else 'integrates'} to 1 over {entry.support.description}"
    yield near(entry.name, what, integrals, 1.0, allowed)
    yield near(entry.name, "its mean is that of the density", means, 0.0, allowed)


def _integrals(entry: Likelihood) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """The integral of p, that of p (x - mean), and how much fewer points change them.

    The last two are in units of the spread of x, where that is above 1.
    """
    for i, level in enumerate(LEVELS):
        out = decoded.outputs(entry, level, seed=i)[:1, :1, :1].unflatten(-1, (-1, PIXELS))[..., 0]
        centre = float(entry.mean(out))
        if entry.support.goes_on and centre > 0.5 * max(entry.support.values or (math.inf,)):
            continue  # where the list of values need not hold the mass
        grid = _grid(entry, centre)
        for parameters in decoded.parameters(entry):
            rows = out.expand(1, 1, len(grid.points), -1)
            p = entry.log_prob(grid.points[None, :, None], rows, **parameters)[0, 0].exp()
            distance = grid.points - centre
            unit = 1.0 + grid.total(p * distance.abs())
            off_centre, its_error = (f(p * distance) / unit for f in (grid.total, grid.error))
            yield grid.total(p), off_centre, torch.maximum(grid.error(p), its_error)


def _grid(entry: Likelihood, centre: float) -> Grid:
    if entry.support.values is not None:
        return over_values(entry.support.values)
    assert entry.support.interval is not None, "checked before"
    return over_interval(entry.support.interval, centre if math.isfinite(centre) else 0.0)


def check_support(entry: Likelihood) -> Iterator[Finding]:
    """The test for data accepts what the probability is over, and nothing else."""
    inside, outside = decoded.data(entry), _outside(entry)
    contains = entry.support.contains
    accepts = all(contains(x) for x in (inside, inside.float()))
    yield holds(entry.name, "its support accepts its own values", accepts)
    accepted = [x for x in outside if contains(torch.tensor([[[x]]]))]
    shown = f", as {accepted[0]:g}" if accepted else ""
    yield holds(entry.name, f"its support refuses other values{shown}", not accepted)


def _outside(entry: Likelihood) -> list[float]:
    """Values that p(x|z) says nothing of."""
    nowhere = [math.nan, math.inf, -math.inf]
    if entry.support.values is not None:
        values = sorted(entry.support.values)
        between = [0.5 * (a + b) for a, b in itertools.pairwise(values)]
        beyond = [] if entry.support.goes_on else [values[-1] + 1.0]
        return [*nowhere, values[0] - 1.0, *beyond, *between]
    assert entry.support.interval is not None, "checked before"
    low, high = entry.support.interval
    return nowhere + [x for x in (low - 0.01, high + 0.01) if math.isfinite(x)]
