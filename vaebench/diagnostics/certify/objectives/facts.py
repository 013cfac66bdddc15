"""What objectives declare of their values, checked on the linear-Gaussian VAE."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise

from torch import Tensor

from vaebench.core.errors import InputError
from vaebench.diagnostics.certify.exact.linear_gaussian import (
    NUM_SAMPLES,
    draws,
    equipped,
    exact_log_px,
    examples,
    linear_gaussian,
    replicas,
    sampled,
)
from vaebench.diagnostics.certify.finding import Finding, at_most, equal, same
from vaebench.diagnostics.certify.objectives import behaviour, extremes, gradients, quadrature
from vaebench.diagnostics.certify.objectives import discrete_model as discrete
from vaebench.diagnostics.certify.objectives.hyperparameters import (
    NOTHING,
    Values,
    bounding,
    described,
    loss_at,
    shown,
)
from vaebench.objectives import OBJECTIVES, Objective

NUMBERS_OF_SAMPLES = (1, 2, 6, 24)
MANY_SAMPLES, FEW = 4000, 5
"""The number of samples that stands for the limit of many, and the replicas that it is drawn in."""


def check_objective(objective: Objective) -> Iterator[Finding]:
    """Every declared fact of one objective, where it can be called as it must be."""
    outset = list(behaviour.check_outset(objective))
    yield from outset
    if all(finding.holds for finding in outset):
        yield from behaviour.check(objective)
        yield from _check_bound(objective)
        yield from _check_identities(objective)
        yield from _check_orderings(objective)
        yield from extremes.check(objective)
        yield from discrete.check(objective)
        yield from gradients.check(objective)
        yield from quadrature.check(objective)


def _check_bound(objective: Objective) -> Iterator[Finding]:
    name = objective.name
    for at in bounding(objective):
        with suppress(InputError):  # of values that do not go together, or not with so few samples
            if objective.bound == "lower":
                yield from _check_lower(objective, at)
            else:
                fact = f"upper bound on log p(x) as K grows{shown(at)}"
                yield at_most(name, fact, _log_px() - _limits(objective, at))
    if objective.bound == "lower":
        for k in _possible(objective):
            above = _means(objective, num_samples=k) - _log_px()
            yield at_most(name, f"lower bound on log p(x) with K={k}", above)
    if objective.tight:
        fact = "equals log p(x) at the true posterior"
        yield equal(name, fact, _means(objective, wrong=0.0) - _log_px())


def _check_lower(objective: Objective, at: Values) -> Iterator[Finding]:
    for wrong, where in ((1.0, ""), (0.0, ", with the true posterior")):
        fact = f"lower bound on log p(x){shown(at)}{where}"
        yield at_most(objective.name, fact, _means(objective, at, wrong) - _log_px())


def _check_identities(objective: Objective) -> Iterator[Finding]:
    for identity in objective.same_as:
        num_samples, other = identity.num_samples or NUM_SAMPLES, OBJECTIVES[identity.other]
        terms = equipped(sampled(1.0, num_samples), objective, other)
        ours = loss_at(objective, terms, identity.at)
        theirs = loss_at(other, terms, identity.other_at)
        if identity.exact:
            yield same(objective.name, described(identity), ours, theirs)
        else:
            fact = f"{described(identity)}, in expectation"
            yield equal(objective.name, fact, (ours - theirs).mean(-1))


def _check_orderings(objective: Objective) -> Iterator[Finding]:
    for name in objective.no_looser_than:
        excess = _means(OBJECTIVES[name]) - _means(objective)
        yield at_most(objective.name, f"no looser than {name}", excess)
    if objective.tighter_with_samples:
        for few, many in pairwise(_possible(objective)):
            excess = _means(objective, num_samples=few) - _means(objective, num_samples=many)
            yield at_most(objective.name, f"tighter with K={many} than with K={few}", excess)


def _means(
    objective: Objective, at: Values = NOTHING, wrong: float = 1.0, num_samples: int = NUM_SAMPLES
) -> Tensor:
    """Minus the loss of each replica, the mean over its examples: [R]."""
    return -loss_at(objective, equipped(sampled(wrong, num_samples), objective), at).mean(-1)


def _limits(objective: Objective, at: Values) -> Tensor:
    """Minus the mean loss for many samples, of a few replicas: [R]."""
    model = replicas(linear_gaussian(wrong=1.0), FEW)
    terms = equipped(draws(model, examples(), MANY_SAMPLES), objective)
    return -loss_at(objective, terms, at).mean(-1)


def _log_px() -> Tensor:
    """log p(x), the mean over the examples."""
    return exact_log_px(linear_gaussian(wrong=1.0), examples()).mean()


def _possible(objective: Objective) -> list[int]:
    """The numbers of samples that the objective takes at its defaults."""

    def takes(num_samples: int) -> bool:
        try:
            _means(objective, num_samples=num_samples)
        except InputError:
            return False
        return num_samples >= objective.min_samples

    return [k for k in NUMBERS_OF_SAMPLES if takes(k)]
