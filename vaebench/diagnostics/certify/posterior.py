"""What posteriors are: densities of what they draw, with the moments and KL that they state.

Shapes: numbers [S, B, R], z [K, S, B, D], log q(z|x) [K, S, B].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from vaebench.core.errors import InputError
from vaebench.diagnostics.certify.cases.hyperparameters import two_values
from vaebench.diagnostics.certify.cases.posterior import (
    EXTREME,
    MODERATE,
    ROWS,
    PosteriorCase,
    posterior_case,
    ratios,
)
from vaebench.diagnostics.certify.exact.integrals import over_interval, space
from vaebench.diagnostics.certify.finding import ROUNDING, Finding, changes, expected, holds, near
from vaebench.models.posteriors import Drawing, Latent, Posterior
from vaebench.models.posteriors.flows import Flow, Map
from vaebench.ops import densities
from vaebench.ops.noise import Noise, key

RUNS = Noise((key("posterior", 0), key("posterior", 1)))
NUM_DRAWS = 40_000
FEW, MANY = 5, 500
LATENTS = (Latent(1, 3), Latent(3, 3, flow_steps=3))
DISCRETE_LATENTS = (Latent(1, 3), Latent(2, 4))
EPSILON = 1e-15
"""Some times the rounding error of float64."""
INTEGRAL, COARSE = 1e-6, 1e-3
"""What an integral may be off by, beside what fewer points change; and the most of both."""
INVERSE = 1e-6
"""What an inverse may be off by: it divides by gates once for each dimension."""


def check_posterior(entry: Posterior) -> Iterator[Finding]:
    """Every fact of one family, where the shapes are right and draws are not all the same."""
    shapes = _check_shapes(entry)
    yield shapes
    if not shapes.holds:
        return
    distinct, *others = _check_runs(entry)
    yield distinct
    if not distinct.holds:
        return
    yield from others
    for latent in DISCRETE_LATENTS if entry.discrete else LATENTS:
        case = posterior_case(entry, latent, RUNS)
        check = _check_discrete if entry.discrete else _check_real
        yield from check(entry, case)
    yield from _check_gradients(entry)
    yield from _check_parameters(entry)
    for size in (MODERATE, EXTREME):
        q = posterior_case(entry, case.latent, RUNS, num_rows=MANY, size=size).q
        if isinstance(q, Flow):
            yield from _check_maps(entry, q, size)


def _check_shapes(entry: Posterior) -> Finding:
    latent = (DISCRETE_LATENTS if entry.discrete else LATENTS)[-1]
    z, log_q = posterior_case(entry, latent, RUNS).draw(FEW)
    right = z.shape == (FEW, 2, ROWS, entry.code_width(latent)) and log_q.shape == (FEW, 2, ROWS)
    return holds(entry.name, "codes [K, S, B, D] with one log-density each", right)


def _in_dimensions(case: PosteriorCase) -> str:
    return f"in {case.latent.dim} dimension{'s' if case.latent.dim > 1 else ''}"


# ------------------------------------------------------------------ density and draws


def _check_real(entry: Posterior, case: PosteriorCase) -> Iterator[Finding]:
    z, log_q = case.draw(NUM_DRAWS)
    where = _in_dimensions(case)
    fact = f"its density is that of its draws, {where}"
    yield expected(entry.name, fact, ratios(z, log_q), torch.ones(()).double())
    log_prob = _where_known(lambda: case.q.log_prob(z[:MANY]))
    if log_prob is not None:
        fact = f"the density of a given code is that of a draw, {where}"
        yield near(entry.name, fact, log_prob, log_q[:MANY], INVERSE)
    if case.latent.dim == 1:
        yield from _check_integral(entry, case)
    yield from _check_moments(entry, case, z)
    kl = case.q.draw(Drawing(RUNS, 1, densities)).kl_to_standard_normal
    if kl is not None:
        log_ratio = log_q - densities.standard_normal_log_prob(z)
        fact = f"the KL that a draw comes with is E_q[log q - log p], {where}"
        yield expected(entry.name, fact, log_ratio, kl.detach())


def _check_integral(entry: Posterior, case: PosteriorCase) -> Iterator[Finding]:
    """The density of one example integrates to 1, where the density of any code is known."""
    centre = float(case.draw(1)[0].flatten()[0])
    grid = over_interval((-math.inf, math.inf), centre)
    points = grid.points[:, None, None, None].expand(-1, 2, ROWS, -1)
    log_q = _where_known(lambda: case.q.log_prob(points))
    if log_q is not None:
        p = log_q[:, 0, 0].exp()
        allowed = (INTEGRAL + 2.0 * grid.error(p)).clamp(max=COARSE)
        yield near(entry.name, "integrates to 1, in 1 dimension", grid.total(p), 1.0, allowed)


def covered() -> str:
    """The range that the checks cover, in words."""
    return (
        f"densities of numbers of size {MODERATE:g} from the encoder, over all codes in 1 "
        f"dimension and of draws in {LATENTS[-1].dim}; maps of flows up to size {EXTREME:g}"
    )


def _check_moments(entry: Posterior, case: PosteriorCase, z: Tensor) -> Iterator[Finding]:
    """The mean and the variance are those of the draws, where the family states them."""
    mean = _where_known(lambda: case.q.mean)
    if mean is None:
        return
    where, squares = _in_dimensions(case), (z - mean).square()
    yield expected(entry.name, f"its mean is that of its draws, {where}", z, mean)
    variance = _where_known(lambda: case.q.log_var.exp())
    if variance is not None:
        yield expected(entry.name, f"its variance is that of its draws, {where}", squares, variance)


def _check_discrete(entry: Posterior, case: PosteriorCase) -> Iterator[Finding]:
    """Probabilities and draws of discrete codes, against the list of all codes."""
    where = _in_dimensions(case)
    codes = space(case.latent, discrete=True)
    p = case.q.log_prob(codes.points[:, None, None].expand(-1, 2, ROWS, -1)).exp().detach()
    yield near(entry.name, f"sums to 1, {where}", p.sum(0), 1.0)
    z, _ = case.draw(NUM_DRAWS)
    one_hot = ((z == 0) | (z == 1)).all() and (z.sum(-1) == case.latent.dim).all()
    yield holds(entry.name, f"its codes are one-hot, {where}", bool(one_hot))
    drawn = (z[:, :, :, None] == codes.points).all(-1).double()  # [K, S, B, number of codes]
    yield expected(
        entry.name, f"draws each code as often as it says, {where}", drawn, p.movedim(0, -1)
    )
    yield from _check_moments(entry, case, z)
    soft = case.q.draw(Drawing(RUNS, FEW, densities, relaxed=True)).z.detach()
    sums = soft.unflatten(-1, (case.latent.dim, -1)).sum(-1)
    yield near(entry.name, f"what it trains on sums to 1 for each variable, {where}", sums, 1.0)


def _where_known(formula: Callable[[], Tensor]) -> Tensor | None:
    """The value of a formula; None where the family has no such formula."""
    try:
        return formula().detach()
    except InputError:
        return None


# ------------------------------------------------------------------ runs, gradients, parameters


def _check_runs(entry: Posterior) -> Iterator[Finding]:
    """Two runs draw, and give densities to, what each would alone."""
    latent = (DISCRETE_LATENTS if entry.discrete else LATENTS)[-1]
    case = posterior_case(entry, latent, RUNS, _stacked(entry))
    z, log_q = case.draw(FEW)
    distinct = entry.discrete or len(z.flatten(0, 2).unique(dim=0)) == FEW * 2 * ROWS
    yield holds(entry.name, "samples, runs and examples draw different codes", distinct)
    alone = [case.alone(run).draw(FEW) for run in range(2)]
    yield near(
        entry.name, "its draws are blind to stack-mates", z, torch.cat([a[0] for a in alone], 1)
    )
    densities_alone = torch.cat([a[1] for a in alone], 1)
    yield near(entry.name, "its density is blind to stack-mates", log_q, densities_alone)
    again, _ = case.draw(FEW)
    yield near(entry.name, "the same noise draws the same codes", z, again)


def _check_gradients(entry: Posterior) -> Iterator[Finding]:
    """Draws pass gradients to every number; `stopped` changes gradients and no values."""
    latent = (DISCRETE_LATENTS if entry.discrete else LATENTS)[-1]
    # Of many examples: what a rectifier switches off in one has a gradient in another.
    case = posterior_case(entry, latent, RUNS, num_rows=MANY)
    z = case.q.draw(Drawing(RUNS, FEW, densities)).z
    (slope,) = torch.autograd.grad((z * _weights(z)).sum(), case.numbers)
    reached = bool((slope != 0).any(1).all())
    yield holds(entry.name, "draws have a gradient in all that the encoder gives", reached)
    yield holds(entry.name, "its gradients are finite", bool(slope.isfinite().all()))
    z = z.detach().requires_grad_()
    stopped = _where_known(lambda: case.q.stopped().log_prob(z))
    if stopped is None:
        return
    trained, through_z = case.q.log_prob(z), case.q.stopped().log_prob(z)
    yield near(entry.name, "with stopped parameters the same density", through_z, trained)
    slopes = [torch.autograd.grad(v.sum(), z, retain_graph=True)[0] for v in (through_z, trained)]
    yield near(entry.name, "with stopped parameters the same gradient in z", *slopes)
    rest = torch.autograd.grad(through_z.sum(), case.parameters, materialize_grads=True)
    still = all(bool((slope == 0).all()) for slope in rest)
    yield holds(entry.name, "stopped parameters have no gradient", still)


def _weights(z: Tensor) -> Tensor:
    """Fixed, irregular weights, so that no gradient cancels in a sum."""
    return torch.linspace(-1.0, 1.3, z.numel(), dtype=z.dtype).cos().view_as(z)


def _stacked(entry: Posterior) -> dict[str, Tensor]:
    return {
        name: torch.tensor(two_values(hyper), dtype=torch.float64)[:, None]
        for name, hyper in entry.hyper.items()
    }


def _check_parameters(entry: Posterior) -> Iterator[Finding]:
    """Each hyperparameter changes the draws of training or their gradient: else it is unused."""
    latent = (DISCRETE_LATENTS if entry.discrete else LATENTS)[-1]
    for name, hyper in entry.hyper.items():
        outcomes = []
        for value in two_values(hyper):
            case = posterior_case(entry, latent, RUNS, {name: value})
            z = case.q.draw(Drawing(RUNS, FEW, densities, relaxed=True)).z
            (slope,) = torch.autograd.grad((z * _weights(z)).sum(), case.numbers)
            outcomes.append(torch.cat([z.detach().flatten(), slope.flatten()]))
        yield changes(
            entry.name, f"{name} changes the draws of training or their gradient", *outcomes
        )


# ------------------------------------------------------------------ flows


def _check_maps(entry: Posterior, q: Flow, size: float) -> Iterator[Finding]:
    """Each map's log |det J| is that of its Jacobian, and its inverse leads back."""
    where = f"from numbers of size {size:g}"
    z = q.base.draw(Drawing(RUNS, FEW, densities)).z.detach().requires_grad_()
    for number, step in enumerate(q.maps, 1):
        image, log_det = step.forward(z)
        rows = [torch.autograd.grad(i.sum(), z, retain_graph=True)[0] for i in image.unbind(-1)]
        jacobian = torch.stack(rows, -2)
        exact = torch.linalg.slogdet(jacobian).logabsdet
        # A map that is all but singular: its determinant is known to as many digits as are left.
        allowed = ROUNDING + EPSILON * torch.linalg.cond(jacobian)
        fact = f"log |det J| of map {number} is that of its Jacobian, {where}"
        yield near(entry.name, fact, log_det, exact, allowed.detach())
        back = _where_known(partial(_pre_image, step, image))
        if back is not None and size == MODERATE:  # a gate that is all but shut loses digits
            fact = f"the inverse of map {number} leads back, {where}"
            yield near(entry.name, fact, back, z, INVERSE)
        z = image.detach().requires_grad_()


def _pre_image(step: Map, image: Tensor) -> Tensor:
    return step.inverse(image)[0]
