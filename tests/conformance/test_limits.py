"""What the documentation says of entries: it is there for each, and each limit is proved."""

import math

import pytest
import torch
from torch import nn

from tests.support.by_hand import arbitrary_terms, numbers
from vaebench.evaluation import GRADINGS
from vaebench.models import MODELS
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.models.likelihoods.real import MIN_LOG_SIGMA
from vaebench.models.posteriors import POSTERIORS, Drawing, Latent
from vaebench.models.posteriors.conditionals import Conditionals
from vaebench.models.posteriors.flows import MaskedNetworks
from vaebench.models.priors import PRIORS
from vaebench.objectives import OBJECTIVES
from vaebench.ops import densities
from vaebench.ops.noise import Noise

REGISTRIES = OBJECTIVES, LIKELIHOODS, POSTERIORS, PRIORS, MODELS, GRADINGS
ENTRIES = {(r.kind, name): entry for r in REGISTRIES for name, entry in r.items()}
K, S, B, P = 3, 2, 4, 5
REALS = numbers(10, S, B, P)
COUNTS = (4.0 * numbers(11, S, B, P)).exp().floor()
LEVELS = (255.0 * torch.sigmoid(2.0 * numbers(12, S, B, P))).round() / 255.0
LATENT = Latent(dim=4, num_classes=3, flow_steps=2)
CODES = numbers(13, K, S, B, LATENT.dim)
FAR = 60.0
"""A logit beyond which a sigmoid is 0 or 1 to all digits."""


def out(step):
    """One number for each pixel, as a decoder might give: [K, S, B, P]."""
    return numbers(step, K, S, B, P)


def log_px_z(name, x, *outputs, **parameters):
    return LIKELIHOODS[name].log_prob(x, torch.cat(outputs, -1), **parameters)


def posterior(name, values, network=None, **hyper):
    return POSTERIORS[name].distribution(values, LATENT, network, **hyper)


def drawn(q, relaxed=False):
    """Codes, and log q(z|x) where the draw has it or a formula gives it."""
    draw = q.draw(Drawing(Noise((5, 6)), K, densities, relaxed=relaxed))
    log_q = q.log_prob(draw.z) if draw.log_qz_x is None else draw.log_qz_x
    return torch.cat([draw.z, log_q[..., None]], -1)


def log_pz(name, **parameters):
    return PRIORS[name].log_prob(CODES, **parameters)


# ------------------------------------------------------------------ both sides of each limit


def vr_max_and_renyi():
    terms = arbitrary_terms()
    return OBJECTIVES["vr_max"](terms), OBJECTIVES["renyi"](terms, alpha=-1e9)


def negative_binomial_and_poisson():
    """The size ends at exp(20), so that counts of 100 have 5 digits in common."""
    return (
        log_px_z("negative_binomial", COUNTS, out(1), FAR + out(2)),
        log_px_z("poisson", COUNTS, out(1)),
    )


def zero_inflated_and_negative_binomial():
    return (
        log_px_z("zero_inflated_negative_binomial", COUNTS, out(1), out(2), out(3) - FAR),
        log_px_z("negative_binomial", COUNTS, out(1), out(2)),
    )


def discretised_logistic_and_categorical():
    every = (torch.arange(256.0).double() / 255.0).reshape(256, 1, 1, 1, 1, 1)
    by_pixel = torch.stack([out(1), out(2)], -1)  # each pixel alone, so that no sum is taken
    log_masses = LIKELIHOODS["discretised_logistic"].log_prob(every, by_pixel)
    return (
        log_px_z("discretised_logistic", LEVELS, out(1), out(2)),
        log_px_z("categorical", LEVELS, *log_masses),
    )


def mixture_and_discretised_logistic():
    alike = [numbers(3, K, S, B, 5 * P), *[out(1)] * 5, *[out(2)] * 5]
    return (
        log_px_z("discretised_logistic_mixture", LEVELS, *alike),
        log_px_z("discretised_logistic", LEVELS, out(1), out(2)),
    )


def gaussian_and_learned():
    return (
        log_px_z("gaussian", REALS, out(1), sigma=0.3),
        log_px_z("gaussian_learned", REALS, out(1), log_sigma=math.log(0.3)),
    )


def optimal_and_learned():
    fit = LIKELIHOODS["gaussian_optimal"].fitted["log_sigma"]
    residual = (REALS - out(1)).square().mean(dim=(0, 2, 3)).sqrt()[:, None]
    return (
        log_px_z("gaussian_optimal", REALS, out(1), log_sigma=fit(REALS, out(1))),
        log_px_z("gaussian_learned", REALS, out(1), log_sigma=residual.log()),
    )


def per_pixel_and_gaussian():
    above = math.log(0.3) - MIN_LOG_SIGMA
    raw = MIN_LOG_SIGMA + math.log(math.expm1(above))  # whose soft floor is log 0.3
    return (
        log_px_z("gaussian_per_pixel", REALS, out(1), torch.full_like(out(1), raw)),
        log_px_z("gaussian", REALS, out(1), sigma=0.3),
    )


def student_t_and_per_pixel():
    return (
        log_px_z("student_t", REALS, out(1), out(2), df=1e12),
        log_px_z("gaussian_per_pixel", REALS, out(1), out(2)),
    )


MEANS_AND_LOG_VARS = numbers(14, S, B, 2 * LATENT.dim)


def followed_by_zeros(name):
    """The numbers of a diagonal Gaussian, and 0 for all others that a family takes."""
    num_others = POSTERIORS[name].num_inputs(LATENT) - 2 * LATENT.dim
    return torch.cat([MEANS_AND_LOG_VARS, torch.zeros(S, B, num_others).double()], -1)


def diagonal():
    return drawn(posterior("diagonal_gaussian", MEANS_AND_LOG_VARS))


def full_and_diagonal():
    return drawn(posterior("full_gaussian", followed_by_zeros("full_gaussian"))), diagonal()


def planar_and_diagonal():
    return drawn(posterior("planar_flow", followed_by_zeros("planar_flow"))), diagonal()


class Affine(nn.Module):
    """The affine map of S runs, all at 0."""

    def __init__(self, num_inputs, num_outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(S, num_inputs, num_outputs))
        self.bias = nn.Parameter(torch.zeros(S, 1, num_outputs))


ONE_LAYER = Conditionals((), (LATENT.dim,))


def one_layer_and_diagonal():
    return drawn(posterior("hierarchical", MEANS_AND_LOG_VARS, ONE_LAYER)), diagonal()


def one_rung_and_diagonal():
    return drawn(posterior("ladder", MEANS_AND_LOG_VARS, ONE_LAYER)), diagonal()


def one_layer_and_standard():
    return log_pz("hierarchical", layers=ONE_LAYER), log_pz("standard_normal")


def iaf_and_diagonal():
    network = MaskedNetworks(LATENT, Affine).double()
    for last in network.out:
        last.bias.data[..., : LATENT.dim] = FAR
    assert LATENT.flow_steps == 2  # reversed twice
    return drawn(posterior("iaf", followed_by_zeros("iaf"), network)), diagonal()


def gumbel_softmax_and_categorical():
    values = numbers(15, S, B, LATENT.dim * LATENT.num_classes)
    cold = posterior("gumbel_softmax", values, temperature=1e-6)
    relaxed = cold.draw(Drawing(Noise((5, 6)), K, densities, relaxed=True)).z
    codes = drawn(posterior("categorical", values, temperature=0.5))
    evaluated = drawn(posterior("gumbel_softmax", values, temperature=0.5))
    return torch.cat([relaxed, evaluated], -1), torch.cat([codes[..., :-1], codes], -1)


def mixture_and_standard_normal():
    scores, zeros = numbers(16, S, 1, 5), torch.zeros(S, 5, LATENT.dim).double()
    mixture = log_pz("mixture_of_gaussians", mu=zeros, log_var=zeros, scores=scores)
    return mixture, log_pz("standard_normal")


def vamp_and_mixture():
    q = posterior("diagonal_gaussian", MEANS_AND_LOG_VARS)
    even = torch.zeros(S, 1, B).double()
    mixture = log_pz("mixture_of_gaussians", mu=q.mu, log_var=q.log_var, scores=even)
    return log_pz("vamp", components=q), mixture


def learned_and_uniform():
    values = numbers(15, S, B, LATENT.dim * LATENT.num_classes)
    codes = drawn(posterior("categorical", values, temperature=0.5))[..., :-1]
    alike = numbers(17, S, LATENT.dim, 1).expand(-1, -1, LATENT.num_classes)
    learned = PRIORS["learned_categorical"].log_prob(codes, scores=alike)
    return learned, PRIORS["uniform_categorical"].log_prob(codes)


EXACT = 1e-12
PROOFS = {
    ("vr_max", "renyi"): (vr_max_and_renyi, 1e-8),
    ("negative_binomial", "poisson"): (negative_binomial_and_poisson, 1e-5),
    ("zero_inflated_negative_binomial", "negative_binomial"): (
        zero_inflated_and_negative_binomial,
        EXACT,
    ),
    ("discretised_logistic", "categorical"): (discretised_logistic_and_categorical, EXACT),
    ("discretised_logistic_mixture", "discretised_logistic"): (
        mixture_and_discretised_logistic,
        EXACT,
    ),
    ("gaussian", "gaussian_learned"): (gaussian_and_learned, EXACT),
    ("gaussian_optimal", "gaussian_learned"): (optimal_and_learned, EXACT),
    ("gaussian_per_pixel", "gaussian"): (per_pixel_and_gaussian, EXACT),
    ("student_t", "gaussian_per_pixel"): (student_t_and_per_pixel, 1e-7),
    ("full_gaussian", "diagonal_gaussian"): (full_and_diagonal, EXACT),
    ("planar_flow", "diagonal_gaussian"): (planar_and_diagonal, EXACT),
    ("iaf", "diagonal_gaussian"): (iaf_and_diagonal, EXACT),
    ("hierarchical", "diagonal_gaussian"): (one_layer_and_diagonal, EXACT),
    ("ladder", "diagonal_gaussian"): (one_rung_and_diagonal, EXACT),
    ("hierarchical", "standard_normal"): (one_layer_and_standard, EXACT),
    ("gumbel_softmax", "categorical"): (gumbel_softmax_and_categorical, EXACT),
    ("mixture_of_gaussians", "standard_normal"): (mixture_and_standard_normal, EXACT),
    ("vamp", "mixture_of_gaussians"): (vamp_and_mixture, EXACT),
    ("learned_categorical", "uniform_categorical"): (learned_and_uniform, EXACT),
}


@pytest.mark.parametrize("pair", PROOFS, ids=" and ".join)
def test_the_limit_holds(pair):
    proof, tolerance = PROOFS[pair]
    entry, other = proof()
    torch.testing.assert_close(entry, other, rtol=tolerance, atol=tolerance)


def test_every_declared_limit_is_proved():
    declared = {
        (name, limit.other) for (_, name), entry in ENTRIES.items() for limit in entry.about.limits
    }
    assert declared == PROOFS.keys()


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=lambda entry: entry.name)
def test_the_documentation_has_its_formula_and_its_faults(entry):
    assert entry.about.formula and "  " not in entry.about.formula
    assert entry.about.wrong_when[0].isupper() and entry.about.wrong_when.endswith(".")
    assert not entry.about.cost.endswith(".")
