"""Expectations over the noise as exact sums: Gauss-Hermite quadrature, for D = 1 and K = 2.

Every pair of nodes is one example of the batch, of one x, weighed by the product of their weights.
So the value of an objective in expectation is exact, and so is its derivative in each weight of the
model: what the mean of a gradient estimator must be, on either side.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from vaebench.core.errors import InputError
from vaebench.diagnostics.certify.exact.linear_gaussian import (
    NUM_ROWS,
    equipped,
    examples,
    linear_gaussian,
    replicas,
)
from vaebench.diagnostics.certify.finding import Finding, centred, largest
from vaebench.diagnostics.certify.objectives.gradients import (
    SIDES,
    gradients,
    per_run,
    sign,
    weights,
)
from vaebench.diagnostics.certify.objectives.hyperparameters import NOTHING, Values, loss_at, shown
from vaebench.models import VAE
from vaebench.models.terms import Terms
from vaebench.objectives import OBJECTIVES, Objective
from vaebench.objectives.entry import Side
from vaebench.ops import densities
from vaebench.ops.noise import Noise, key

NUM_NODES, NUM_SAMPLES = 40, 2
OTHER_NUMBERS = (50, 61)
"""Other numbers of nodes: their effect bounds the error of the sum where a gradient has jumps."""
STEP, ALLOWED = 1e-4, 1e-6
"""The step of central differences, and what these and the quadrature may be off by."""


@functools.cache
def nodes(num: int) -> tuple[Tensor, Tensor]:
    """Pairs of standard normals [K, n^2], and their weights [n^2], which add up to 1."""
    points, mass = (torch.from_numpy(a) for a in np.polynomial.hermite_e.hermegauss(num))
    mass = mass / mass.sum()
    return torch.cartesian_prod(points, points).T, torch.outer(mass, mass).flatten()


def one_dimension() -> VAE:
    """The model of one latent dimension, its q not the true posterior."""
    return linear_gaussian(wrong=1.0, scales=(1.0,))


def terms_at_nodes(model: VAE, num: int) -> Terms:
    """Terms of the first example at every pair of n nodes: [2, S, n^2]."""
    pairs, _ = nodes(num)
    x = examples()[:1].expand(model.num_runs, pairs.shape[1], -1)
    mu, log_var = model.encoder(x).chunk(2, -1)
    z = densities.reparameterise(mu, log_var, pairs[:, None, :, None])
    q = model.posterior(x)
    noise = Noise((key("nodes"),) * model.num_runs)
    return Terms(
        q,
        z,
        model.log_px_z(x, z),
        model.prior(),
        num_examples=100,
        latent=model.family.latent,
        noise=noise,
    )


def expected(objective: Objective, model: VAE, at: Values = NOTHING) -> Tensor:
    """The loss in expectation over the noise, of each run: [S]."""
    terms = equipped(terms_at_nodes(model, NUM_NODES), objective)
    return (nodes(NUM_NODES)[1] * loss_at(objective, terms, at)).sum(-1)


def expected_gradient(objective: Objective, num: int = NUM_NODES) -> dict[Side, Tensor]:
    """The gradient in expectation over the noise: [n] of each side."""
    model, mass = replicas(one_dimension(), 1, trained=True), nodes(num)[1]
    loss = loss_at(objective, equipped(terms_at_nodes(model, num), objective))
    weighted = loss * mass * len(mass)  # of which the gradient of the mean is taken
    of_side = per_run(weighted, model)
    return {side: sign(objective, side) * gradient[0] for side, gradient in of_side.items()}


@torch.no_grad()
def slope(objective: Objective, side: Side, at: Values = NOTHING) -> Tensor:
    """The derivative of the expected loss in each weight of a side, by central differences: [n].

    One run of a stack for each weight and direction.
    """
    num = sum(p.numel() for p in weights(one_dimension(), side))
    model = replicas(one_dimension(), 2 * num)
    changes = STEP * torch.cat([torch.eye(num), -torch.eye(num)]).double()
    parameters = weights(model, side)
    pieces = changes.split([p[0].numel() for p in parameters], 1)
    for parameter, piece in zip(parameters, pieces, strict=True):
        parameter.add_(piece.view_as(parameter))
    up, down = expected(objective, model, at).chunk(2)
    return (up - down) / (2.0 * STEP)


def check(objective: Objective) -> Iterator[Finding]:
    """The gradient in expectation, exactly, and the mean of that for the real noise."""
    if objective.of_batch or objective.min_samples > NUM_SAMPLES:
        return
    try:
        exact, *others = (expected_gradient(objective, num) for num in (NUM_NODES, *OTHER_NUMBERS))
    except InputError:  # it takes other numbers of samples only
        return
    model, x = replicas(one_dimension(), trained=True), examples()[:1].expand(NUM_ROWS, -1)
    drawn = gradients(objective, model, x, NUM_SAMPLES)
    for side in SIDES:
        truth, what = exact[side], "the expected loss"
        of = objective.gradient_of.get(side)
        if of and of.other != objective.name:  # else it holds only as K grows
            truth, what = (
                slope(OBJECTIVES[of.other], side, of.other_at),
                f"{of.other}'s expectation",
            )
            fact = f"the {side}'s expected gradient is the derivative of {what}{shown(of.other_at)}"
            off_by = largest(exact[side] - truth)
            yield Finding(objective.name, f"{fact}, exact by quadrature", off_by, ALLOWED)
        fact = f"the {side}'s gradient for drawn noise averages to the derivative of {what}"
        blur = sum(largest(other[side] - exact[side]) for other in others)
        yield centred(objective.name, fact, drawn[side] - truth, blur)
