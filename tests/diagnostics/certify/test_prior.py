"""Priors: right ones pass, of a user too, and each wrong one is told by its fact."""

import math
from dataclasses import replace
from typing import Annotated

import pytest
import torch
from torch.nn import functional as F

from tests.support.faults import failed_facts, failing
from vaebench.core.hyper import Hyper, with_axis
from vaebench.models.posteriors.gaussian import DiagonalGaussian
from vaebench.models.priors import PRIORS, Prior
from vaebench.models.priors.mixtures import mixture_of_gaussians
from vaebench.ops import densities
from vaebench.ops.noise import normals, uniforms

Width = Annotated[float, Hyper((0.3, 3.0), low=1e-3)]
NORMAL, UNIFORM = PRIORS["standard_normal"], PRIORS["uniform_categorical"]
MIXTURE = PRIORS["mixture_of_gaussians"]


def prior(log_prob, sample, **facts):
    return Prior(log_prob.__name__, log_prob, "", sample, **facts)


@pytest.mark.parametrize("name", PRIORS)
def test_every_registered_prior_is_what_it_declares(name):
    assert failing(PRIORS[name]) == set()


# ------------------------------------------------------------------ a user's priors, and right


def laplace(z, *, width: Width = 1.0):
    width = torch.as_tensor(width, dtype=z.dtype)
    return -z.abs().sum(-1) / width - z.shape[-1] * torch.log(2.0 * width)


def laplace_codes(noise, num_rows, latent, *, width):
    u = 2.0 * uniforms(noise, num_rows, latent.dim).double() - 1.0
    return -with_axis(width) * u.sign() * torch.log1p(-u.abs().clamp_max(1.0 - 1e-9))


def cauchy(z, *, width: Width = 1.0):
    """Without a mean: the heaviest tails that anyone may want."""
    width = torch.as_tensor(width, dtype=z.dtype)
    scaled = z / with_axis(width)
    return -(torch.log1p(scaled.square()).sum(-1) + z.shape[-1] * (math.pi * width).log())


def cauchy_codes(noise, num_rows, latent, *, width):
    u = uniforms(noise, num_rows, latent.dim).double() - 0.5
    return with_axis(width) * torch.tan(math.pi * u)


def moved_normal(z, *, centre):
    """With a trained centre, and a KL."""
    return densities.standard_normal_log_prob(z - centre)


def moved_kl_parts(q, *, centre):
    match q:
        case DiagonalGaussian(mu, log_var):
            return densities.gaussian_kl_per_dimension(mu - centre, log_var)


def moved_kl(q, *, centre):
    parts = moved_kl_parts(q, centre=centre)
    return None if parts is None else parts.sum(-1)


def moved_codes(noise, num_rows, latent, *, centre):
    return normals(noise, 1, num_rows, latent.dim)[0].to(centre) + centre


def first_centre(noise, shape):
    return torch.zeros(len(noise.keys), 1, shape.latent.dim)


def skewed(z, *, scores):
    """A prior of categorical codes: one trained distribution for every variable."""
    log_p = torch.log_softmax(scores, -1)  # [S, 1, C]
    return (z.unflatten(-1, (-1, log_p.shape[-1])) * log_p[:, :, None]).sum((-1, -2))


def skewed_codes(noise, num_rows, latent, *, scores):
    u = uniforms(noise, num_rows, latent.dim).to(scores)
    values = (u[..., None] > scores.softmax(-1).cumsum(-1)[:, :, None]).sum(-1)
    return F.one_hot(values.clamp_max(latent.num_classes - 1), latent.num_classes).flatten(-2)


def first_scores(noise, shape):
    return torch.zeros(len(noise.keys), 1, shape.latent.num_classes)


MOVED = prior(
    moved_normal,
    moved_codes,
    kl=moved_kl,
    kl_per_dimension=moved_kl_parts,
    learned={"centre": first_centre},
)
SKEWED = prior(skewed, skewed_codes, learned={"scores": first_scores}, discrete=True)
RIGHT = [prior(laplace, laplace_codes), prior(cauchy, cauchy_codes), MOVED, SKEWED]


@pytest.mark.parametrize("right", RIGHT, ids=lambda p: p.name)
def test_a_right_prior_of_a_user_passes(right):
    assert failing(right) == set()


# ------------------------------------------------------------------ wrong priors


def without_constant(z):
    return -0.5 * z.square().sum(-1)


def one_constant_for_all_dimensions(z):
    return -0.5 * z.square().sum(-1) - 0.5 * densities.LOG_2PI


def one_width_for_all_runs(z, *, width: Width = 1.0):
    return laplace(z, width=torch.as_tensor(width, dtype=z.dtype).mean())


def relative_to_other_codes(z):
    return densities.standard_normal_log_prob(z - z.mean(2, keepdim=True))


def per_dimension(z):
    return -0.5 * (z.square() + densities.LOG_2PI)


def unweighted_mixture(z, *, mu, log_var, scores):
    return densities.gaussian_mixture_log_prob(z, scores, mu, log_var)


def mixture_that_trains_no_scores(z, *, mu, log_var, scores):
    return mixture_of_gaussians(z, mu=mu, log_var=log_var, scores=scores.detach())


def unnormalised_skewed(z, *, scores):
    return (z.unflatten(-1, (-1, scores.shape[-1])) * scores[:, :, None]).sum((-1, -2))


def wide_codes(noise, num_rows, latent):
    return 1.2 * normals(noise, 1, num_rows, latent.dim)[0]


def dependent_codes(noise, num_rows, latent):
    """Each dimension standard normal, and all of them one number."""
    return normals(noise, 1, num_rows, 1)[0].expand(-1, -1, latent.dim)


def one_row(noise, num_rows, latent):
    return normals(noise, 1, 1, latent.dim)[0].expand(-1, num_rows, -1)


def one_run(noise, num_rows, latent):
    return normals(noise, 1, num_rows, latent.dim)[0, :1].expand(len(noise.keys), -1, -1)


def one_step(noise, num_rows, latent):
    return normals(noise.at(step=0), 1, num_rows, latent.dim)[0]


def unit_codes(noise, num_rows, latent, *, width):
    return laplace_codes(noise, num_rows, latent, width=torch.ones(len(noise.keys), 1).double())


def kl_without_half(q):
    match q:
        case DiagonalGaussian():
            return 2.0 * NORMAL.kl(q)


def kl_over_runs(q):
    kl = NORMAL.kl(q)
    return None if kl is None else kl.mean(0, keepdim=True).expand_as(kl)


def reverse_kl(q):
    match q:
        case DiagonalGaussian(mu, log_var):
            return densities.gaussian_kl(-mu * torch.exp(-0.5 * log_var), -log_var)


def even_parts(q):
    parts = NORMAL.kl_per_dimension(q)
    return None if parts is None else parts.mean(-1, keepdim=True).expand_as(parts)


def unsummed_parts(q):
    parts = NORMAL.kl_per_dimension(q)
    return None if parts is None else 2.0 * parts


def vamp_of_sums(z, *, components):
    """The sum of the densities, not their mean."""
    return PRIORS["vamp"].log_prob(z, components=components) + math.log(components.num_examples)


LAPLACE, LAPLACE_CODES = (
    prior(laplace, laplace_codes),
    "its draws have the expectations of its density, in 2 dimensions",
)
ONE, TWO = "integrates to 1 in 1 dimension", "integrates to 1 in 2 dimensions"
KL = "its KL from diagonal_gaussian is E_q[log q - log p]"
SLOPE = "its gradient in z is the derivative of its density"


def constant_of_two(z):
    return -0.5 * (z.square().sum(-1) + min(2, z.shape[-1]) * densities.LOG_2PI)


def product_of_densities(z):
    return NORMAL.log_prob(z[..., None]).exp().prod(-1).log()


def half_a_gradient(z):
    return 0.5 * (NORMAL.log_prob(z) + NORMAL.log_prob(z.detach()))


WRONG = [
    (replace(NORMAL, log_prob=lambda z: NORMAL.log_prob(z).clamp(min=-50.0)), ONE),
    (replace(NORMAL, log_prob=lambda z: NORMAL.log_prob(z.detach())), SLOPE),
    (replace(NORMAL, log_prob=half_a_gradient), SLOPE),
    (
        replace(NORMAL, log_prob=constant_of_two),
        "in 5 dimensions, its density is that of its draws",
    ),
    (
        replace(NORMAL, log_prob=product_of_densities),
        "float32 is close to float64, far out too",
    ),
    (replace(NORMAL, log_prob=without_constant), ONE),
    (replace(NORMAL, log_prob=one_constant_for_all_dimensions), TWO),
    (replace(LAPLACE, log_prob=one_width_for_all_runs), "its density is blind to stack-mates"),
    (
        replace(NORMAL, log_prob=relative_to_other_codes),
        "the density of a code does not depend on the others",
    ),
    (
        replace(NORMAL, log_prob=per_dimension),
        "one log-density per sample, run and example; codes [S, n, D]",
    ),
    (replace(MIXTURE, log_prob=unweighted_mixture), ONE),
    (replace(MIXTURE, log_prob=mixture_that_trains_no_scores), "scores has a gradient"),
    (replace(SKEWED, log_prob=unnormalised_skewed), "sums to 1 in 1 dimension"),
    (replace(NORMAL, sample=wide_codes), LAPLACE_CODES),
    (replace(NORMAL, sample=dependent_codes), LAPLACE_CODES),
    (replace(NORMAL, sample=one_row), "rows draw different codes"),
    (replace(NORMAL, sample=one_run), "two runs draw different codes"),
    (replace(NORMAL, sample=one_step), "other noise draws other codes"),
    (replace(LAPLACE, sample=unit_codes), "width changes the draws"),
    (replace(LAPLACE, sample=unit_codes), LAPLACE_CODES),
    (replace(PRIORS["vamp"], log_prob=vamp_of_sums), TWO),
    (
        replace(PRIORS["vamp"], log_prob=vamp_of_sums),
        "made of full_gaussian, its density is that of its draws",
    ),
    (replace(NORMAL, kl=kl_without_half), KL),
    (replace(NORMAL, kl=kl_over_runs), KL),
    (replace(NORMAL, kl=reverse_kl), KL),
    (
        replace(NORMAL, kl_per_dimension=even_parts),
        "its KL from diagonal_gaussian by dimension is of that dimension alone",
    ),
    (
        replace(NORMAL, kl_per_dimension=unsummed_parts),
        "its KL from diagonal_gaussian by dimension adds up",
    ),
    (
        replace(UNIFORM, kl=lambda q: UNIFORM.kl(q) / 2),
        "its KL from categorical is E_q[log q - log p]",
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize(("wrong", "fact"), WRONG)
def test_a_wrong_prior_is_told_by_its_fact(wrong, fact):
    assert fact in failed_facts(wrong)
