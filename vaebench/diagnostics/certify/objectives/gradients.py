"""The gradients of an objective, encoder and decoder apart, on the linear-Gaussian VAE."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from vaebench.diagnostics.certify.exact.linear_gaussian import (
    NUM_SAMPLES,
    draws,
    equipped,
    exact_elbo,
    examples,
    far_examples,
    linear_gaussian,
    replicas,
    sampled,
)
from vaebench.diagnostics.certify.finding import ROUNDING, Finding, centred, equal, largest, same
from vaebench.diagnostics.certify.objectives.hyperparameters import (
    NOTHING,
    Values,
    described,
    elsewhere,
    links,
    loss_at,
    shown,
)
from vaebench.models import VAE
from vaebench.objectives import OBJECTIVES, Objective
from vaebench.objectives.entry import Side
from vaebench.ops.noise import Noise, key, normals

SIDES: tuple[Side, Side] = ("encoder", "decoder")
FEW, STEPS = 30, (1e-5, 1e-6)
"""Runs that are each moved in a direction of their own, and how far."""
MANY, NUM_DIRECTIONS = 4000, 4
"""Samples that stand for their limit, and directions in which a gradient is compared there."""
VERY_FAR, AT_HIGH_RATES = (20.0, 50.0, 100.0), ", at rates of up to thousands of nats"
"""Sizes of examples, and what is added to the facts checked on them."""
LIMIT_ROUNDING = 5e-3
"""What is left of the limit with so many, in nats for a step of length 1."""
SLOPE_ROUNDING = 1e-6
"""The error of central differences with those steps, in float64."""


def check(objective: Objective) -> Iterator[Finding]:
    yield from _check_derivative(objective)
    yield from _check_identities(objective)
    yield from _check_estimators(objective)
    yield from _check_closed_form(objective)
    if objective.still_at_posterior:
        yield _check_still(objective)


def weights(model: VAE, side: Side) -> list[nn.Parameter]:
    """The parameters of q(z|x), or of p(x, z)."""
    if side == "encoder":
        return [*model.encoder.parameters(), *model.posterior_parameters()]
    return [*model.decoder.parameters(), *model.prior_parameters()]


def sign(objective: Objective, side: Side) -> int:
    """-1 where a side moves against the loss: the encoder, which descends an upper bound."""
    return -1 if objective.bound == "upper" and side == "encoder" else 1


def per_run(loss: Tensor, model: VAE) -> dict[Side, Tensor]:
    """The gradient of each run's mean loss [S, B] in its weights: [S, n]."""
    if not loss.requires_grad:
        loss = loss + 0.0 * next(model.parameters()).sum()
    of_side = {side: weights(model, side) for side in SIDES}
    every = [p for parameters in of_side.values() for p in parameters]
    slopes = torch.autograd.grad(loss.mean(-1).sum(), every, materialize_grads=True)
    rows = iter(gradient.flatten(1) for gradient in slopes)
    return {side: torch.cat([next(rows) for _ in of_side[side]], 1) for side in SIDES}


def gradients(
    objective: Objective,
    model: VAE,
    x: Tensor,
    num_samples: int = NUM_SAMPLES,
    at: Values = NOTHING,
) -> dict[Side, Tensor]:
    """The gradient of each run [S, n], for noise of its own. The encoder's of an upper bound, which
    it descends, has the sign of the others."""
    # As in training: what the loss asks of its samples is computed while they are drawn.
    terms = equipped(draws(model, x, num_samples, wanted=objective.draws), objective)
    of_side = per_run(loss_at(objective, terms, at), model)
    return {side: sign(objective, side) * gradient for side, gradient in of_side.items()}


def _check_derivative(objective: Objective) -> Iterator[Finding]:
    """The gradient is that of the value for the same noise, by central differences."""
    model = replicas(linear_gaussian(wrong=1.0), FEW, trained=True)
    for at in (NOTHING, *elsewhere(objective)):
        yield from _derivative_at(objective, model, _near_and_far(), at)
    for finding in _derivative_at(objective, model, _very_far()):
        yield replace(finding, fact=f"{finding.fact}{AT_HIGH_RATES}")


def _derivative_at(
    objective: Objective, model: VAE, x: Tensor, at: Values = NOTHING
) -> Iterator[Finding]:
    of_side = gradients(objective, model, x, at=at)
    for side in (s for s in SIDES if s not in objective.gradient_of):
        directions = _directions(model, side)
        gradient = (of_side[side] * directions).sum(1)
        slopes = [_slope(objective, model, side, h * directions, x, at=at) / h for h in STEPS]
        off_by = (torch.stack(slopes) - gradient).abs() / (1.0 + gradient.abs())
        # A maximum or a magnitude may have its kink within a step: not within both, nor often.
        closest = off_by.amin(0).quantile(0.9)
        fact = f"the {side}'s gradient is the derivative of the loss{shown(at)}"
        yield Finding(objective.name, fact, float(closest.nan_to_num(math.inf)), SLOPE_ROUNDING)


def _directions(model: VAE, side: Side) -> Tensor:
    """A random direction in each run's weights of a side: [S, n]."""
    length = sum(p[0].numel() for p in weights(model, side))
    noise = Noise(tuple(key("directions", run) for run in range(model.num_runs)))
    return normals(noise, 1, 1, length)[0, :, 0].double() / length**0.5


def _slope(
    objective: Objective,
    model: VAE,
    side: Side,
    change: Tensor,
    x: Tensor,
    num_samples: int = NUM_SAMPLES,
    at: Values = NOTHING,
) -> Tensor:
    """Half of what each run's mean loss differs by between its weights plus and minus [S, n]."""
    up, down = (
        _mean_losses(objective, model, side, c, x, num_samples, at) for c in (change, -change)
    )
    return 0.5 * (up - down)


@torch.no_grad()
def _mean_losses(
    objective: Objective,
    model: VAE,
    side: Side,
    change: Tensor,
    x: Tensor,
    num_samples: int,
    at: Values,
) -> Tensor:
    """Each run's mean loss with its weights changed by [S, n]: [S]."""
    other = replicas(linear_gaussian(wrong=1.0), model.num_runs)
    parameters = weights(other, side)
    pieces = change.split([p[0].numel() for p in parameters], 1)
    for parameter, piece in zip(parameters, pieces, strict=True):
        parameter.add_(piece.view_as(parameter))
    terms = equipped(draws(other, x, num_samples), objective)
    return loss_at(objective, terms, at).mean(-1)


def _near_and_far() -> Tensor:
    return torch.cat([examples(), far_examples()])


def _very_far() -> Tensor:
    """Rates of tens to thousands of nats, not beside near ones, whose errors they would hide."""
    return torch.cat([size * examples() for size in VERY_FAR])


def _check_identities(objective: Objective) -> Iterator[Finding]:
    """Losses that are the same have the same gradients, where these are their derivatives."""
    model = replicas(linear_gaussian(wrong=1.0), FEW, trained=True)
    for identity in objective.same_as:
        other, num_samples = OBJECTIVES[identity.other], identity.num_samples or NUM_SAMPLES
        sides = [s for s in SIDES if s not in {**objective.gradient_of, **other.gradient_of}]
        if identity.exact and sides:
            ours = gradients(objective, model, examples(), num_samples, identity.at)
            theirs = gradients(other, model, examples(), num_samples, identity.other_at)
            for side in sides:
                fact = f"the {side}'s gradient: {described(identity)}"
                yield same(objective.name, fact, ours[side], theirs[side])


def _check_estimators(objective: Objective) -> Iterator[Finding]:
    """Mean gradients, paired with those of the named objective for the same noise."""
    model = replicas(linear_gaussian(wrong=1.0), trained=True)
    others = {s: of for s, of in objective.gradient_of.items() if of.other != objective.name}
    for x, where in ((examples(), ""), (_very_far(), AT_HIGH_RATES)) if others else ():
        ours = gradients(objective, model, x)
        for side, of in others.items():
            theirs = gradients(OBJECTIVES[of.other], model, x, at=of.other_at)
            fact = f"the {side}'s mean gradient is that of {of.other}{shown(of.other_at)}{where}"
            yield centred(objective.name, fact, ours[side] - theirs[side])
    for side in objective.gradient_of:
        if side not in others:
            yield _check_limit(objective, side)


def _check_limit(objective: Objective, side: Side) -> Finding:
    """The mean gradient becomes that of the objective's own value, as K grows."""
    model, x = replicas(linear_gaussian(wrong=1.0), FEW, trained=True), examples()[:2]
    gradient = gradients(objective, model, x, MANY)[side]
    directions = _directions(replicas(model, NUM_DIRECTIONS), side)
    off_by = [
        _slope(objective, model, side, STEPS[0] * d.expand_as(gradient), x, MANY) / STEPS[0]
        - gradient @ d
        for d in directions
    ]
    fact = f"the {side}'s mean gradient is the derivative of the loss as K grows"
    return centred(objective.name, fact, torch.stack(off_by, 1), blur=LIMIT_ROUNDING)


def _check_closed_form(objective: Objective) -> Iterator[Finding]:
    """Value and mean gradient of what is the ELBO by declared identities, against the formula."""
    for at in links(objective):
        model = replicas(linear_gaussian(wrong=1.0), trained=True)
        exact = -exact_elbo(model, examples().expand(model.num_runs, -1, -1))
        terms = equipped(sampled(1.0), objective)
        fact = f"minus the ELBO in closed form{shown(at)}"
        yield equal(objective.name, fact, (loss_at(objective, terms, at) - exact).detach().mean(-1))
        ours, theirs = gradients(objective, model, examples(), at=at), per_run(exact, model)
        for side in SIDES:
            fact = f"the {side}'s mean gradient is that of the ELBO in closed form{shown(at)}"
            yield centred(objective.name, fact, ours[side] - theirs[side])


def _check_still(objective: Objective) -> Finding:
    model = replicas(linear_gaussian(wrong=0.0), FEW, trained=True)
    gradient = gradients(objective, model, examples())["encoder"]
    fact = "the encoder's gradient is 0 in every sample at the true posterior"
    return Finding(objective.name, fact, largest(gradient), ROUNDING)
