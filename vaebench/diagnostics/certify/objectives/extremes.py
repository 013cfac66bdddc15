"""What objectives declare of their values, far from where models usually are.

Rates from none to thousands of nats, distortions as large, dimensions that carry nothing and ones
known to a thousandth, few samples and many. Each example is held against its own log p(x), so that
no other hides what it is off by.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from vaebench.core.errors import InputError
from vaebench.diagnostics.certify.exact.linear_gaussian import (
    NUM_SAMPLES,
    PIXELS,
    SCALES,
    SIGMA,
    draws,
    equipped,
    exact_elbo,
    exact_log_px,
    linear_gaussian,
    replicas,
)
from vaebench.diagnostics.certify.finding import NUM_ERRORS, ROUNDING, Finding
from vaebench.diagnostics.certify.objectives.hyperparameters import (
    NOTHING,
    Values,
    bounding,
    described,
    loss_at,
    shown,
)
from vaebench.models.terms import Terms
from vaebench.objectives import OBJECTIVES, Objective, SameAs
from vaebench.ops.noise import Noise, key, normals

NUM_ROWS, NUM_DRAWS, FEW = 20, 300, 30
"""Samples of each example over all replicas, and the fewest replicas."""
NUMBERS_OF_SAMPLES = (1, NUM_SAMPLES, 128)
"""The last is not larger, for what takes time or memory by its square."""
SLACK, LOW_RATE = 1.01, 0.1
"""Nats. E_q[p(z) / q(z|x)] is 1, of which samples show less from some rate on, and at high rates
nothing: an estimate that counts on it lacks that."""
SMALLEST = 1e-300


@dataclass(frozen=True)
class Place:
    """A linear-Gaussian VAE, and the sizes of its examples."""

    scales: tuple[float, ...]
    """Lengths of the columns of W."""
    num_pixels: int
    sizes: tuple[float, float]
    """The sizes of the first and the last example, in standard deviations of the noise."""

    @property
    def examples(self) -> Tensor:
        """[B, P], from small to large."""
        first, last = (torch.tensor(size).double().log10() for size in self.sizes)
        sizes = torch.logspace(float(first), float(last), NUM_ROWS, dtype=torch.float64)
        # In one direction, so that rates grow by even steps and no range of them is left out.
        direction = normals(Noise((key("extremes"),)), 1, 1, self.num_pixels)[0, 0].double()
        return SIGMA * sizes[:, None] * direction


PLACES = (
    Place((0.1, 0.01, 1e-3), PIXELS, (0.01, 10.0)),
    Place(SCALES, PIXELS, (0.1, 300.0)),
    Place(tuple(10.0 ** (-2.0 + i / 8.0) for i in range(32)), 32, (0.01, 100.0)),
)


@dataclass(frozen=True)
class Case:
    """Terms of a place's examples, with log p(x) of each and what is not asked of it."""

    terms: Terms
    log_px: Tensor  # [B]
    luck: Tensor  # [R, B] what the mean of log p(x|z) over the samples has above its expectation

    @property
    def slack(self) -> Tensor:
        """In nats, of each example: [B]."""
        at_high_rates = SLACK * (self.terms.kl[0] - LOW_RATE).clamp(0.0, 1.0)
        return at_high_rates + ROUNDING * (1.0 + self.log_px.abs())

    def mean(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """E[values] of [R, B] and its standard error: [B] each.

        What values have of the luck of the samples is taken off, by its known expectation of 0: of
        a loss that is distortion and rate, no error is left.
        """
        centred = ((values - values.mean(0)) * (self.luck - self.luck.mean(0))).mean(0)
        share = centred / self.luck.var(0, correction=0).clamp_min(SMALLEST)
        rest = values - share * self.luck
        return rest.mean(0), rest.std(0) / len(rest) ** 0.5


@functools.lru_cache(maxsize=32)
def case(place: Place, wrong: float, num_samples: int = NUM_SAMPLES) -> Case:
    """At the true posterior, or at a wrong one."""
    model = linear_gaussian(wrong, place.scales, place.num_pixels)
    num = max(NUM_DRAWS // num_samples, FEW)
    x = place.examples
    terms = draws(replicas(model, num), x, num_samples)
    luck = terms.log_px_z.mean(0) - (exact_elbo(model, x[None]) + terms.kl[:1])
    return Case(terms, exact_log_px(model, x), luck)


@dataclass(frozen=True)
class Excess:
    """By how much something is too large, and what that may be, of each example: [n] each."""

    off_by: Tensor
    allowed: Tensor


@functools.cache
def _rates() -> str:
    """The range of rates of all examples, in words."""
    terms = (case(place, wrong).terms for place in PLACES for wrong in (0.0, 1.0))
    rates = torch.cat([t.kl.flatten() for t in terms])
    return f"rates of {float(rates.min()):.0e} to {float(rates.max()):.0e} nats"


def covered() -> str:
    """The range that the checks of objectives cover, in words."""
    terms = (case(place, wrong).terms for place in PLACES for wrong in (0.0, 1.0))
    distortion = max(float(t.distortion.max()) for t in terms)
    dims = [len(place.scales) for place in PLACES]
    return (
        f"{_rates()}, distortions of up to {distortion:.0e} nats, {min(dims)} to {max(dims)} "
        f"latent dimensions, K of up to {max(NUMBERS_OF_SAMPLES)}; above {LOW_RATE:g} nats of rate "
        f"to within 1 nat"
    )


def check(objective: Objective) -> Iterator[Finding]:
    """Every declared fact of the value, each at the example where it is farthest from holding."""
    if objective.bound != "none":
        for at in bounding(objective):
            fact = f"{objective.bound} bound on log p(x){shown(at)}"
            yield from _worst(objective, fact, _excess_of_bound(objective, at))
    if objective.tight:
        fact = "equals log p(x) at the true posterior"
        yield from _worst(objective, fact, _excess_of_bound(objective, tight=True))
    for identity in objective.same_as:
        yield from _worst(objective, described(identity), _differences(objective, identity))
    for name in objective.no_looser_than:
        other = OBJECTIVES[name]
        excess = (_expected(objective, _loss(objective, c) - _loss(other, c), c) for c in _cases())
        yield from _worst(objective, f"no looser than {name}", excess)


def _cases(wrong: float = 1.0) -> Iterator[Case]:
    return (case(place, wrong) for place in PLACES)


def _loss(objective: Objective, case: Case, at: Values = NOTHING) -> Tensor:
    """The loss of each replica and example: [R, B]."""
    return loss_at(objective, equipped(case.terms, objective), at)


def _excess_of_bound(
    objective: Objective, at: Values = NOTHING, *, tight: bool = False
) -> Iterator[Excess]:
    """What a lower bound has above log p(x), an upper one below it; `tight`: what either is off by.

    An upper bound holds as K grows: at the true posterior, where all weights are alike, with any K.
    """
    sign = -1.0 if objective.bound == "upper" else 1.0
    anywhere = objective.bound == "lower" and not tight
    for place in PLACES:
        for wrong, k in product((0.0, 1.0) if anywhere else (0.0,), NUMBERS_OF_SAMPLES):
            if k >= objective.min_samples:
                known = case(place, wrong, k)
                with suppress(InputError):  # of a K, or of values, that do not go together
                    values = sign * (-_loss(objective, known, at) - known.log_px)
                    yield _expected(objective, values, known, two_sided=tight)


def _differences(objective: Objective, identity: SameAs) -> Iterator[Excess]:
    """How far two losses that are declared the same differ: by sample, or in expectation."""
    other, k = OBJECTIVES[identity.other], identity.num_samples or NUM_SAMPLES
    for known in (case(place, wrong, k) for place in PLACES for wrong in (0.0, 1.0)):
        ours, theirs = _loss(objective, known, identity.at), _loss(other, known, identity.other_at)
        if identity.exact:
            off_by = (ours - theirs).abs().flatten()
            yield Excess(off_by, ROUNDING * (1.0 + theirs.abs().flatten()))
        else:
            yield _expected(objective, ours - theirs, known, two_sided=True)


def _expected(
    objective: Objective, values: Tensor, case: Case, *, two_sided: bool = False
) -> Excess:
    """E[values] of [R, B], which is not to be above 0; `two_sided`: which is to be 0."""
    mean, error = case.mean(values)
    allowed = NUM_ERRORS * error + case.slack
    if objective.of_batch:
        mean, allowed = (part.mean(-1, keepdim=True) for part in (mean, allowed))
    return Excess(mean.abs() if two_sided else mean, allowed)


def _worst(objective: Objective, fact: str, excess: Iterable[Excess]) -> Iterator[Finding]:
    """One finding of the example that is farthest from what is allowed; none of no example."""
    each = list(excess)
    if each:
        off_by, allowed = (torch.cat([getattr(e, n) for e in each]) for n in ("off_by", "allowed"))
        worst = (off_by - allowed).nan_to_num(nan=math.inf).argmax()
        where = f"{fact}, at {_rates()}"
        yield Finding(objective.name, where, float(off_by[worst]), float(allowed[worst]))
