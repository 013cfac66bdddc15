"""What objectives declare, checked on linear-Gaussian VAEs of two and three layers of latents."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace

from torch import Tensor

from vaebench.core.errors import InputError
from vaebench.diagnostics.certify.exact.chain import DIMS, exact_elbo, exact_log_px, linear_chain
from vaebench.diagnostics.certify.exact.linear_gaussian import (
    NUM_SAMPLES,
    draws,
    equipped,
    examples,
    replicas,
)
from vaebench.diagnostics.certify.finding import (
    ROUNDING,
    Finding,
    at_most,
    centred,
    equal,
    holds,
    largest,
    same,
)
from vaebench.diagnostics.certify.objectives.gradients import SIDES, gradients, per_run
from vaebench.diagnostics.certify.objectives.hyperparameters import (
    NOTHING,
    Values,
    described,
    hyper_at,
    links,
    loss_at,
    shown,
)
from vaebench.models import VAE
from vaebench.models.terms import Terms
from vaebench.objectives import OBJECTIVES, Objective


@dataclass(frozen=True)
class Layers:
    """The layers that an objective is checked on."""

    posterior: str
    dims: tuple[int, ...]

    def chain(self, wrong: float) -> VAE:
        return linear_chain(wrong, self.dims, self.posterior)


FEW, MANY_SAMPLES = 5, 4000
"""Replicas, and samples that stand for their limit."""


def check_layers(objective: Objective, posterior: str) -> Iterator[Finding]:
    """Every declared fact of one objective on two and on three layers, or its refusal."""
    for dims in (DIMS[:2], DIMS):
        layers, where = Layers(posterior, dims), f", {len(dims)} layers"
        reason = _refusal(objective, layers)
        if reason:
            yield holds(objective.name, f"is refused: {reason}{where}", True)
            continue
        for finding in _facts(objective, layers):
            yield replace(finding, fact=f"{finding.fact}{where}")


def _refusal(objective: Objective, layers: Layers) -> str:
    """Why it cannot be computed for such a posterior; "" where it can."""
    try:
        _means(objective, layers)
    except InputError as error:
        return str(error)
    return ""


def _facts(objective: Objective, layers: Layers) -> Iterator[Finding]:
    yield from _check_bound(objective, layers)
    yield from _check_others(objective, layers)
    yield from _check_estimators(objective, layers)
    yield from _check_closed_form(objective, layers)
    if objective.still_at_posterior:
        model = replicas(layers.chain(0.0), FEW, trained=True)
        gradient = gradients(objective, model, examples())["encoder"]
        fact = "the encoder's gradient is 0 in every sample at the true posterior"
        yield Finding(objective.name, fact, largest(gradient), ROUNDING)


def _check_bound(objective: Objective, layers: Layers) -> Iterator[Finding]:
    name, log_px = objective.name, exact_log_px(layers.chain(1.0), examples()).mean()
    if objective.bound == "lower" and objective.is_bound_at(hyper_at(objective)):
        yield at_most(name, "lower bound on log p(x)", _means(objective, layers) - log_px)
    if objective.bound == "upper":
        model = replicas(layers.chain(1.0), FEW)
        terms = equipped(draws(model, examples(), MANY_SAMPLES), objective)
        limits = -loss_at(objective, terms).mean(-1)
        yield at_most(name, "upper bound on log p(x) as K grows", log_px - limits)
    if objective.tight:
        fact = "equals log p(x) at the true posterior"
        yield equal(name, fact, _means(objective, layers, wrong=0.0) - log_px)


def _check_others(objective: Objective, layers: Layers) -> Iterator[Finding]:
    """Identities and orderings among the objectives that such a posterior has."""
    for identity in objective.same_as:
        other, num_samples = OBJECTIVES[identity.other], identity.num_samples or NUM_SAMPLES
        if _refusal(other, layers):
            continue
        ours = _losses(objective, layers, identity.at, num_samples=num_samples)
        theirs = _losses(other, layers, identity.other_at, num_samples=num_samples)
        if identity.exact:
            yield same(objective.name, described(identity), ours, theirs)
        else:
            fact = f"{described(identity)}, in expectation"
            yield equal(objective.name, fact, (ours - theirs).mean(-1))
    for name in objective.no_looser_than:
        if not _refusal(OBJECTIVES[name], layers):
            excess = _means(OBJECTIVES[name], layers) - _means(objective, layers)
            yield at_most(objective.name, f"no looser than {name}", excess)


def _check_estimators(objective: Objective, layers: Layers) -> Iterator[Finding]:
    """Mean gradients, paired with those of the named objective for the same noise.

    What q shares with p, as in a ladder, follows both sides, so is left out where these differ.
    """
    others = {s: of for s, of in objective.gradient_of.items() if of.other != objective.name}
    if not others:
        return
    model = replicas(layers.chain(1.0), trained=True)
    ours = gradients(objective, model, examples())
    for side, of in others.items():
        theirs = gradients(OBJECTIVES[of.other], model, examples(), at=of.other_at)
        fact = f"the {side}'s mean gradient is that of {of.other}{shown(of.other_at)}"
        difference = ours[side] - theirs[side]
        if side == "decoder" and not len(model.up) and len({*map(str, others.values())}) > 1:
            difference = difference[:, : sum(p[0].numel() for p in model.decoder.parameters())]
            fact = f"{fact}, but in what q shares"
        yield centred(objective.name, fact, difference)


def _check_closed_form(objective: Objective, layers: Layers) -> Iterator[Finding]:
    """Value and mean gradient of what is the ELBO by declared identities, against the formula."""
    for at in links(objective):
        model = replicas(layers.chain(1.0), trained=True)
        exact = -exact_elbo(model, examples().expand(model.num_runs, -1, -1))
        fact = f"minus the ELBO in closed form{shown(at)}"
        values = (_losses(objective, layers, at) - exact).detach().mean(-1)
        yield equal(objective.name, fact, values)
        ours, theirs = gradients(objective, model, examples(), at=at), per_run(exact, model)
        for side in SIDES:
            fact = f"the {side}'s mean gradient is that of the ELBO in closed form{shown(at)}"
            yield centred(objective.name, fact, ours[side] - theirs[side])


def _means(
    objective: Objective, layers: Layers, at: Values = NOTHING, wrong: float = 1.0
) -> Tensor:
    """Minus the loss of each replica, the mean over its examples: [R]."""
    return -_losses(objective, layers, at, wrong).mean(-1)


def _losses(
    objective: Objective,
    layers: Layers,
    at: Values = NOTHING,
    wrong: float = 1.0,
    num_samples: int = NUM_SAMPLES,
) -> Tensor:
    """The loss of each replica and example: [R, B]."""
    terms = equipped(_sampled(wrong, layers, num_samples), objective)
    return loss_at(objective, terms, at)


@functools.lru_cache(maxsize=8)
def _sampled(wrong: float, layers: Layers, num_samples: int) -> Terms:
    """The replicas' terms of all examples, without gradients: [K, R, B]."""
    model = replicas(layers.chain(wrong))
    return draws(model, examples(), num_samples, f"K={num_samples}")
