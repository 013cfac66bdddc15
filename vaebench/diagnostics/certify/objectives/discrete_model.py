"""A model that can be summed over: one categorical code, p(x) and every expectation exact.

p(z) uniform over C values, p(x|z) Bernoulli, q(z|x) a table. Every sequence of K codes is one
example of the batch, weighed by its probability, so that nothing here has a sampling error.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise, product

import torch
from torch import Tensor
from torch.nn import functional as F

from vaebench.core.errors import InputError
from vaebench.diagnostics.certify.exact.linear_gaussian import equipped
from vaebench.diagnostics.certify.finding import ROUNDING, Finding
from vaebench.diagnostics.certify.objectives.hyperparameters import (
    NOTHING,
    Values,
    bounding,
    described,
    loss_at,
    shown,
)
from vaebench.models.posteriors import Latent
from vaebench.models.posteriors.categorical import Categorical
from vaebench.models.priors import PRIORS, BoundPrior
from vaebench.models.terms import Terms
from vaebench.objectives import OBJECTIVES, Objective
from vaebench.ops import densities

NUM_CODES, MAX_SAMPLES = 3, 6
UNIFORM = BoundPrior(PRIORS["uniform_categorical"], {})
X = (1.0, 0.0, 1.0, 1.0)
LOGITS = ((1.0, -0.5, 0.3, -1.0), (-0.8, 0.4, 1.2, 0.2), (0.1, 0.9, -0.7, 0.6))
"""The logits of the pixels, for each code."""
COUNTS = (5, 2, 3)
"""q(z|x) in tenths, where it is not the true posterior."""


def log_px_z() -> Tensor:
    """log p(x|z) of each code: [C]."""
    x, logits = (torch.tensor(values, dtype=torch.float64) for values in (X, LOGITS))
    return densities.bernoulli_log_prob(x, logits)


def log_px() -> float:
    """log p(x)."""
    return float(densities.log_mean_exp(log_px_z()))


def log_q(wrong: bool) -> Tensor:
    """log q(z|x) of each code: [C]. The true posterior, where it is not wrong."""
    table = torch.tensor(COUNTS, dtype=torch.float64).log() if wrong else log_px_z()
    return torch.log_softmax(table, 0)


def terms_of(codes: Tensor, table: Tensor) -> Terms:
    """Terms of N sequences of K codes [K, N], laid along the batch, under q [C]."""
    num_samples, num_rows = codes.shape
    q = Categorical(table.expand(1, num_rows, 1, NUM_CODES), 1.0, trains_relaxed=False)
    z = F.one_hot(codes, NUM_CODES).double().view(num_samples, 1, num_rows, NUM_CODES)
    return Terms(
        q,
        z,
        log_px_z()[codes][:, None],
        UNIFORM,
        num_examples=num_rows,
        latent=Latent(1, NUM_CODES),
        family="categorical",
    )


@functools.lru_cache(maxsize=32)
def every_sequence(num_samples: int, wrong: bool) -> tuple[Terms, Tensor]:
    """All C^K sequences of codes, and the probability [C^K] of each under q."""
    codes = torch.tensor(list(product(range(NUM_CODES), repeat=num_samples))).T
    table = log_q(wrong)
    return terms_of(codes, table), table[codes].sum(0).exp()


def in_proportion() -> Terms:
    """Each code as often as q has it: what a sample is in the limit of many."""
    codes = torch.repeat_interleave(torch.arange(NUM_CODES), torch.tensor(COUNTS))
    return terms_of(codes[:, None], log_q(wrong=True))


def bounds(objective: Objective, at: Values = NOTHING, wrong: bool = True) -> dict[int, float]:
    """E[-loss] by K = 1 to 6, of those for which the objective is defined; of none where it needs
    a formula that discrete codes have not."""
    bound_of = {}
    for num_samples in range(objective.min_samples, MAX_SAMPLES + 1):
        terms, probability = every_sequence(num_samples, wrong)
        with suppress(InputError):
            loss = loss_at(objective, equipped(terms, objective), at)[0]
            bound_of[num_samples] = -float((probability * loss).sum())
    return bound_of


def check(objective: Objective) -> Iterator[Finding]:
    """Facts of the value; none for an objective of the batch, which here is one x many times."""
    if not objective.of_batch:
        yield from _check_bound(objective)
        yield from _check_identities(objective)
        yield from _check_orderings(objective)


def _check_bound(objective: Objective) -> Iterator[Finding]:
    for at in bounding(objective):
        fact = f"{objective.bound} bound on log p(x){shown(at)}"
        if objective.bound == "lower":
            values = [*bounds(objective, at).values(), *bounds(objective, at, False).values()]
            yield from _at_most(objective, fact, [bound - log_px() for bound in values])
        else:
            yield from _at_most(objective, f"{fact}, as K grows", _shortfall(objective, at))
    if objective.bound == "lower" and not objective.tighter_with_samples:
        # As weights upside down are: that is a bound too, and its author may want to know.
        excess = [few - many for few, many in pairwise(bounds(objective).values())]
        for finding in _at_most(objective, "no looser with more samples", excess):
            yield replace(finding, declared=False)
    if objective.tight:
        values = [*bounds(objective, wrong=False).values()]
        fact = "equals log p(x) at the true posterior"
        yield from _at_most(objective, fact, [abs(bound - log_px()) for bound in values])


def _shortfall(objective: Objective, at: Values) -> list[float]:
    """What the limit of the bound has below log p(x); nothing where it is not defined."""
    try:
        loss = loss_at(objective, equipped(in_proportion(), objective), at)
    except InputError:
        return []
    return [float(loss) + log_px()]


def _check_identities(objective: Objective) -> Iterator[Finding]:
    for identity in objective.same_as:
        ours = bounds(objective, identity.at)
        theirs = bounds(OBJECTIVES[identity.other], identity.other_at)
        held = [k for k in ours if k in theirs and identity.num_samples in (None, k)]
        yield from _at_most(
            objective, described(identity), [abs(ours[k] - theirs[k]) for k in held]
        )


def _check_orderings(objective: Objective) -> Iterator[Finding]:
    ours = bounds(objective) if objective.no_looser_than or objective.tighter_with_samples else {}
    for name in objective.no_looser_than:
        theirs = bounds(OBJECTIVES[name])
        shared = [k for k in ours if k in theirs]
        yield from _at_most(
            objective, f"no looser than {name}", [theirs[k] - ours[k] for k in shared]
        )
    if objective.tighter_with_samples:
        excess = [few - many for few, many in pairwise(ours.values())]
        yield from _at_most(objective, "tighter with every K", excess)


def _at_most(objective: Objective, fact: str, excess: list[float]) -> Iterator[Finding]:
    """No excess is above 0, up to rounding; no finding of none."""
    if excess:
        yield Finding(objective.name, f"{fact}, exact for discrete codes", max(excess), ROUNDING)
