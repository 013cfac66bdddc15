"""What priors declare: a density, draws of it, and KLs to it, run by run.

Shapes: z [K, S, B, D], log p(z) [K, S, B], samples [S, n, D], KL [S, B].
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from vaebench.core.hyper import Scalar
from vaebench.diagnostics.certify.cases.posterior import posterior_case, ratios
from vaebench.diagnostics.certify.cases.prior import (
    NUM_CLASSES,
    RUNS,
    other_posteriors,
    pairs_of,
    prior_case,
)
from vaebench.diagnostics.certify.exact.integrals import Space, space
from vaebench.diagnostics.certify.finding import Finding, changes, expected, holds, near
from vaebench.models.posteriors import POSTERIORS
from vaebench.models.priors import BoundPrior, Prior
from vaebench.ops import densities
from vaebench.ops.noise import Noise

NUM_DRAWS = 20_000
FEW = 40
"""Draws that are compared one by one."""
DIMS = (1, 2)
"""Latent dimensions in which a density can be integrated."""
KL_DIM = 3
MORE_DIMS = (3, 5)
"""Latent dimensions in which a density can only be compared with its draws."""
FAR, SLOPE_STEP = 3.0, 1e-5
SLOPE_ROUNDING, SINGLE_ROUNDING = 1e-9, 1e-4
EXACT, COARSE = 1e-6, 1e-3
"""What an integral may be off by, beside what fewer points change; and the most of both."""


def check_prior(entry: Prior) -> Iterator[Finding]:
    """Every fact of one prior, where the shapes are right."""
    shapes = _check_shapes(entry)
    yield shapes
    if not shapes.holds:
        return
    for dim in DIMS:
        yield from _check_density(entry, dim)
    for posterior in other_posteriors(entry):
        yield _check_made_of(entry, posterior)
    if not entry.discrete:
        for dim in MORE_DIMS:
            yield _check_many_dimensions(entry, dim)
    yield from _check_draws(entry)
    yield from _check_runs(entry)
    yield from _check_parameters(entry)
    yield from _check_gradients(entry)
    yield from _check_precision(entry)
    yield from _check_kls(entry)


# ------------------------------------------------------------------ density and draws


def _check_shapes(entry: Prior) -> Finding:
    case = prior_case(entry, KL_DIM)
    z = case.sample(FEW)
    log_p_shape = case.bound.log_prob(z.expand(4, -1, -1, -1)).shape
    width = KL_DIM * NUM_CLASSES if entry.discrete else KL_DIM
    right = z.shape == (2, FEW, width) and log_p_shape == (4, 2, FEW)
    return holds(entry.name, "one log-density per sample, run and example; codes [S, n, D]", right)


def covered() -> str:
    """The range that the checks cover, in words."""
    return (
        f"integrals in up to {max(DIMS)} dimensions and over all codes, draws in up to "
        f"{max(MORE_DIMS)}; gradients at codes of {FAR:g} times, float32 at {10.0 * FAR:g} times "
        f"their usual size"
    )


def _check_made_of(entry: Prior, posterior: str) -> Finding:
    """A prior that the encoder makes has the density of its draws with another posterior too."""
    case = prior_case(entry, KL_DIM, posterior=posterior)
    z = case.sample(NUM_DRAWS)
    log_p = case.bound.log_prob(z[None])[0].detach()
    weights = ratios(z.transpose(0, 1)[:, :, None], log_p.T[..., None])
    fact = f"made of {posterior}, its density is that of its draws"
    return expected(entry.name, fact, weights, torch.ones(()).double())


def _check_many_dimensions(entry: Prior, dim: int) -> Finding:
    """A narrow Gaussian in its middle, over its density, averages to 1 over its draws.

    Placed by quantiles: its tails may be too heavy for a variance.
    """
    case = prior_case(entry, dim)
    z = case.sample(NUM_DRAWS)  # [S, n, D]
    low, middle, high = z.quantile(torch.tensor([0.25, 0.5, 0.75]).to(z), dim=1)[:, :, None]
    log_var = 2.0 * (0.4 * (high - low)).clamp_min(1e-3).log()
    log_ratio = densities.gaussian_log_prob(z, middle, log_var) - case.bound.log_prob(z[None])[0]
    fact = f"in {dim} dimensions, its density is that of its draws"
    return expected(entry.name, fact, log_ratio.exp().T.detach(), torch.ones(()).double())


def _check_density(entry: Prior, dim: int) -> Iterator[Finding]:
    """The density integrates to 1, and draws have the expectations that it implies."""
    case = prior_case(entry, dim)
    where = f"in {dim} dimension{'s'[: dim - 1]}"
    over = space(case.latent, discrete=entry.discrete)
    points = over.points[None, None].expand(1, 2, -1, -1)
    p = case.bound.log_prob(points)[0].exp().detach()  # [S, G]
    what = f"{'sums' if entry.discrete else 'integrates'} to 1 {where}"
    yield near(entry.name, what, over.total(p), 1.0, _allowed(over, p))
    z = case.sample(NUM_DRAWS)
    drawn, values = (_functions(case.bound, c) for c in (z, points[0]))  # [S, n, F], [S, G, F]
    weighted = (values * p[..., None]).mT  # [S, F, G]
    fact = f"its draws have the expectations of its density, {where}"
    bias = float(_allowed(over, weighted).max())
    yield expected(entry.name, fact, drawn.transpose(0, 1), over.total(weighted), bias)


def _allowed(over: Space, density: Tensor) -> Tensor:
    return (EXACT + 2.0 * over.error(density)).clamp(max=COARSE)


def _functions(prior: BoundPrior, z: Tensor) -> Tensor:
    """Functions whose expectations tell densities apart, and log p(z): [S, n, D] -> [S, n, F].

    Real codes: soft steps of one dimension, and their products over dimensions, a soft version of
    the joint distribution function. Discrete ones: each value of each variable, and all pairs.
    """
    if prior.entry.discrete:
        pairs = (z[..., :, None] * z[..., None, :]).flatten(-2)
        functions = torch.cat([z, pairs], -1)
    else:
        places = torch.tensor([-math.inf, -1.0, 0.0, 1.0], dtype=z.dtype)
        first, *others = torch.sigmoid(2.0 * (z[..., None] - places)).unbind(-2)
        functions = first
        for steps in others:
            functions = (functions[..., :, None] * steps[..., None, :]).flatten(-2)
    with torch.no_grad():
        log_p = prior.log_prob(z[None])[0, ..., None]
    return torch.cat([functions, log_p.nan_to_num(neginf=0.0)], -1)


def _check_draws(entry: Prior) -> Iterator[Finding]:
    """Draws are a function of the noise: of its key, of the row, of nothing else."""
    case = prior_case(entry, KL_DIM)
    z, again = case.sample(FEW), case.sample(FEW)
    yield near(entry.name, "the same noise draws the same codes", z, again)
    elsewhere = case.sample(FEW, RUNS.at(step=8))
    yield changes(entry.name, "other noise draws other codes", z, elsewhere)
    same = case.bound.sample(Noise((RUNS.keys[0],) * 2), FEW, case.latent)
    different = bool((z[0] != z[1]).any())
    yield holds(
        entry.name, "two runs draw different codes", different and bool(same.isfinite().all())
    )
    least = 2 if entry.discrete else FEW
    distinct = min(len(run.unique(dim=0)) for run in z)
    yield holds(entry.name, "rows draw different codes", distinct >= least)


# ------------------------------------------------------------------ runs and parameters


def _check_runs(entry: Prior) -> Iterator[Finding]:
    """Two runs, each with parameters of its own, are as each alone."""
    case = prior_case(entry, KL_DIM)
    z = case.sample(FEW)[None]
    log_p, alone = case.bound.log_prob(z), [case.alone(r).log_prob(z[:, [r]]) for r in range(2)]
    yield near(entry.name, "its density is blind to stack-mates", log_p, torch.cat(alone, 1))
    single = [case.alone(r).sample(Noise((RUNS.keys[r],)), FEW, case.latent) for r in range(2)]
    yield near(entry.name, "its draws are blind to stack-mates", z[0], torch.cat(single))
    yield near(
        entry.name,
        "the density of a code does not depend on the others",
        log_p[..., : FEW // 2],
        case.bound.log_prob(z[:, :, : FEW // 2]),
    )


def _check_parameters(entry: Prior) -> Iterator[Finding]:
    """Each hyperparameter changes density and draws: one that does not is silently unused."""
    z = prior_case(entry, KL_DIM).sample(FEW)
    pairs = pairs_of(entry)
    first: dict[str, Scalar] = {name: pair[0] for name, pair in pairs.items()}
    before = prior_case(entry, KL_DIM, first)
    for name, (_, second) in pairs.items():
        after = prior_case(entry, KL_DIM, {**first, name: second})
        log_ps = (case.bound.log_prob(z[None]).detach() for case in (before, after))
        yield changes(entry.name, f"{name} changes the density", *log_ps)
        yield changes(
            entry.name, f"{name} changes the draws", before.sample(FEW), after.sample(FEW)
        )


def _check_gradients(entry: Prior) -> Iterator[Finding]:
    """The gradient in z is the derivative, far out too; trained parameters have a gradient."""
    case = prior_case(entry, KL_DIM)
    z = (case.sample(FEW) * (1.0 if entry.discrete else FAR))[None].requires_grad_()
    learned = dict([*case.model.learned_prior.items(), *case.model.down.named_parameters()])
    total = case.bound.log_prob(z).sum()
    if total.requires_grad:
        slopes = torch.autograd.grad(total, [z, *learned.values()], materialize_grads=True)
    else:
        slopes = tuple(torch.zeros_like(of) for of in (z, *learned.values()))
    finite = all(bool(slope.isfinite().all()) for slope in slopes)
    yield holds(entry.name, "its gradients are finite", finite)
    step = SLOPE_STEP * torch.cos(torch.arange(z.numel(), dtype=z.dtype)).view_as(z)
    with torch.no_grad():
        up, down = (case.bound.log_prob(z + moved) for moved in (step, -step))
    fact = "its gradient in z is the derivative of its density"
    yield near(entry.name, fact, (slopes[0] * step).sum(-1), 0.5 * (up - down), SLOPE_ROUNDING)
    for name, slope in zip(learned, slopes[1:], strict=True):
        yield changes(entry.name, f"{name} has a gradient", slope, torch.zeros_like(slope))


def _check_precision(entry: Prior) -> Iterator[Finding]:
    """float32 holds codes far out. Not checked for a prior of float64 weights, as of an encoder."""
    case = prior_case(entry, KL_DIM)
    parameters = case.bound.parameters
    if all(isinstance(value, Tensor | float) for value in parameters.values()):
        z = (case.sample(FEW) * (1.0 if entry.discrete else 10.0 * FAR))[None]
        single = {n: v.float() if isinstance(v, Tensor) else v for n, v in parameters.items()}
        log_p = entry.log_prob(z.float(), **single).double()
        exact = case.bound.log_prob(z)
        off_by = (log_p - exact).abs() / (1.0 + exact.abs())
        fact = "float32 is close to float64, far out too"
        yield near(entry.name, fact, off_by.detach(), 0.0, SINGLE_ROUNDING)


# ------------------------------------------------------------------ KLs


def _check_kls(entry: Prior) -> Iterator[Finding]:
    """Each KL that it has a formula for is E_q[log q - log p]."""
    for family in POSTERIORS.values():
        if family.discrete != entry.discrete:
            continue
        case = prior_case(entry, KL_DIM)
        posterior = posterior_case(family, case.latent, RUNS)
        kl, parts = case.bound.kl(posterior.q), case.bound.kl_per_dimension(posterior.q)
        if kl is not None:
            z, log_q = posterior.draw(NUM_DRAWS)
            fact = f"its KL from {family.name} is E_q[log q - log p]"
            yield expected(entry.name, fact, (log_q - case.bound.log_prob(z)).detach(), kl.detach())
        if parts is not None:
            fact = f"its KL from {family.name} by dimension adds up"
            yield near(entry.name, fact, parts.sum(-1), float("nan") if kl is None else kl)
            yield _check_parts(entry, family.name, parts, posterior.numbers)


def _check_parts(entry: Prior, family: str, parts: Tensor, numbers: Tensor) -> Finding:
    """Each number of the encoder moves the KL of one dimension: a sum split evenly moves all."""
    slopes = [
        torch.autograd.grad(part.sum(), numbers, retain_graph=True)[0] for part in parts.unbind(-1)
    ]
    moved = (torch.stack(slopes) != 0).sum(0)
    fact = f"its KL from {family} by dimension is of that dimension alone"
    return holds(entry.name, fact, bool((moved <= 1).all()))
