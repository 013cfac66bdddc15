"""Layers of latents against exact answers: linear-Gaussian chains, and models of one layer."""

import itertools
import math

import pytest
import torch
from torch.distributions import MultivariateNormal

from tests.support.families import within_error
from vaebench.diagnostics.certify.exact.chain import exact_elbo, exact_log_px, linear_chain
from vaebench.diagnostics.certify.exact.linear_gaussian import (
    SIGMA,
    draws,
    examples,
    linear_gaussian,
    replicas,
)
from vaebench.models.posteriors import Drawing
from vaebench.ops import densities
from vaebench.ops.noise import Noise, normals

CHAINS = [(3, 2), (3, 2, 1)]
OF_CHAINS = pytest.mark.parametrize(
    ("posterior", "dims"), [*itertools.product(["hierarchical", "ladder"], CHAINS)]
)
NOISE = Noise((5,))


def affine(network):
    """Weight [in, out], bias [out] and variances [out] of a linear network with fixed variances."""
    return network.mu.weight[0], network.mu.bias[0, 0], network.rest[0, 0].exp()


def joint_posterior(model, x):
    """p(z_1, z_2|x) of a chain of two by Bayes' rule, from the precision of (z_1, z_2)."""
    weight, bias, variance = affine(model.down[0])
    to_x, offset = model.decoder.weight[0], model.decoder.bias[0, 0]
    down = weight / variance  # [D_2, D_1]
    precision = torch.cat(
        [
            torch.cat([to_x @ to_x.T / SIGMA**2 + (1 / variance).diag(), -down.T], 1),
            torch.cat([-down, torch.eye(len(weight)).double() + down @ weight.T], 1),
        ]
    )
    shift = torch.cat(
        [(x - offset) @ to_x.T / SIGMA**2 + bias / variance, -(bias @ down.T).expand(len(x), -1)], 1
    )
    return MultivariateNormal(shift @ precision.inverse(), precision_matrix=precision)


@OF_CHAINS
def test_with_the_true_posterior_every_weight_is_the_exact_likelihood(posterior, dims):
    """log w is log p(x) in every sample, so that q is p(z|x) and the densities are those of p."""
    model, x = linear_chain(0.0, dims, posterior), examples()
    log_w = draws(replicas(model, 2), x, 4).log_w
    torch.testing.assert_close(log_w, exact_log_px(model, x).expand_as(log_w))
    torch.testing.assert_close(exact_elbo(model, x[None])[0], exact_log_px(model, x))


@OF_CHAINS
def test_the_sampled_elbo_of_a_wrong_posterior_is_the_exact_one(posterior, dims):
    model = linear_chain(1.0, dims, posterior)
    log_w = draws(replicas(model, 1), examples(), 20_000).log_w[:, 0]
    assert within_error(log_w, exact_elbo(model, examples()[None])[0])


def test_two_layers_are_one_with_the_product_of_the_matrices():
    """p(x) of the chain at any code, by Bayes' rule, is that of one layer whose matrix is the
    product, where z_1 given z_2 has a variance near 0; the matrices are any."""
    chain, one, x = linear_chain(0.0, (3, 2)), linear_gaussian(0.0, scales=(1.0, 1.0)), examples()
    chain.down[0].mu.weight.copy_(normals(NOISE, 1, 2, 3)[0])
    chain.down[0].rest.fill_(math.log(1e-6))
    weight, bias, _ = affine(chain.down[0])
    one.decoder.weight.copy_(weight @ chain.decoder.weight[0])
    one.decoder.bias.copy_(bias @ chain.decoder.weight[0] + chain.decoder.bias[0])
    law = joint_posterior(chain, x)
    z = law.mean[None, None]
    log_px = chain.log_px_z(x[None], z) + chain.prior().log_prob(z) - law.log_prob(z)
    identity = torch.eye(5).double()
    exact = MultivariateNormal(
        one.decoder.bias[0, 0],
        SIGMA**2 * identity + one.decoder.weight[0].T @ one.decoder.weight[0],
    )
    torch.testing.assert_close(log_px[0, 0], exact.log_prob(x), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(exact_log_px(chain, x), exact.log_prob(x), rtol=1e-5, atol=1e-5)


def test_an_upper_layer_that_says_nothing_leaves_the_one_layer_model():
    """The same codes, terms and gradients, sample by sample: q(z_2|z_1), p(z_2) and p(z_1|z_2) are
    N(0, I)."""
    one, two = linear_gaussian(1.0), linear_chain(1.0, (3, 2))
    for network in (two.up[0], two.down[0]):
        for parameter in network.parameters():
            parameter.zero_()
    two.encoder.load_state_dict(one.encoder.state_dict())
    two.decoder.load_state_dict(one.decoder.state_dict())
    slopes = []
    for model in (one, two):
        terms = draws(replicas(model, 2, trained=True), examples(), 3)
        loss = -densities.log_mean_exp(terms.log_w).sum()
        encoder = [*terms_parameters(terms)]
        slopes.append((terms.z[..., :3], terms.log_w, *torch.autograd.grad(loss, encoder)))
    for ours, theirs in zip(*slopes, strict=True):
        torch.testing.assert_close(ours, theirs)


def terms_parameters(terms):
    """What z_1 is made from: mean and log-variance [S, B, D_1]."""
    first = getattr(terms.q, "first", terms.q)
    return first.mu, first.log_var


@torch.no_grad()
@OF_CHAINS
def test_encoding_what_the_prior_draws_gives_back_its_moments(posterior, dims):
    """Codes of p(z), their images, and codes of q(z|x): mean and covariance over all layers, and
    those of p(z) are the ones that the matrices give."""
    model, num = linear_chain(0.0, dims, posterior), 20_000
    drawn = model.prior().sample(NOISE, num, model.latent)
    x = model.sample_image(drawn[None], NOISE.named("pixels"))[0]
    again = model.posterior(x).draw(Drawing(NOISE.named("codes"), 1, densities)).z[0]
    means, covariance = moments(model)
    for z in (drawn[0], again[0]):
        centred = z - means
        products = centred[:, :, None] * centred[:, None, :]
        assert within_error(z, means)
        assert within_error(products, covariance)


def moments(model):
    """Mean [D] and covariance [D, D] of all layers under p(z), from the top layer down."""
    top = model.latent.layers[-1]
    means, covariance = torch.zeros(top).double(), torch.eye(top).double()
    for network in reversed(model.down):
        weight, bias, variance = affine(network)
        above = len(weight)
        lower = weight.T @ covariance[:above]  # [D_l, all layers above]
        layer = weight.T @ covariance[:above, :above] @ weight + variance.diag()
        means = torch.cat([means[:above] @ weight + bias, means])
        covariance = torch.cat([torch.cat([layer, lower], 1), torch.cat([lower.T, covariance], 1)])
    return means, covariance


@pytest.mark.parametrize("posterior", ["hierarchical", "ladder"])
def test_the_score_and_the_path_of_all_layers_add_up_to_the_whole_gradient(posterior):
    """Stopped: no gradient in any layer's parameters but through z. Score: none through z."""
    model = replicas(linear_chain(1.0, posterior=posterior), 1, trained=True)
    terms = draws(model, examples(), 2)
    between = model.down if posterior == "ladder" else model.up
    q = [*model.encoder.parameters(), *between.parameters()]
    whole, path, score = (
        torch.autograd.grad(value.sum(), q, retain_graph=True)
        for value in (terms.log_qz_x, terms.log_qz_x_path, terms.log_qz_x_score)
    )
    for all_of_it, *parts in zip(whole, path, score, strict=True):
        torch.testing.assert_close(all_of_it, sum(parts), rtol=1e-9, atol=1e-9)
        assert all(bool((part != 0).any()) for part in parts)
    at_z = terms.q.stopped().log_prob(terms.z.detach())
    assert not at_z.requires_grad


@OF_CHAINS
def test_the_rate_has_a_closed_form_given_the_layer_above_where_q_descends(posterior, dims):
    """By layer and in all it is the mean of the log ratio, and its spread over samples is less."""
    terms = draws(replicas(linear_chain(1.0, dims, posterior), 4000), examples()[:1], 1)
    if posterior == "hierarchical":
        assert terms.closed_form_kl is None
        return
    log_q = terms.q.log_prob_of_layers(terms.z)
    log_p = terms.prior.log_prob_of_layers(terms.z)
    assert len(terms.kl_of_layers) == len(dims)
    for kl, log_q_of, log_p_of in zip(terms.kl_of_layers, log_q, log_p, strict=True):
        assert within_error(log_q_of[0] - log_p_of[0] - kl, 0.0)
    assert float(terms.kl.std()) < 0.5 * float(terms.log_ratio.std())


def test_a_layer_of_the_ladder_is_the_product_of_what_x_and_the_layer_above_say():
    model = linear_chain(1.0, (3, 2), "ladder")
    q, z = model.posterior(examples()[None]), normals(NOISE, 1, 7, 5).double()
    of_x, of_prior = q.by_encoder[0], q.downwards.of_pairs[0](z[..., 3:])
    around = torch.linspace(-2.0, 2.0, 9).double()[:, None, None, None]
    points = torch.cat([z[..., :3] + around, z[..., 3:].expand(9, -1, -1, -1)], -1)
    product = of_x.log_prob(points[..., :3]) + of_prior.log_prob(points[..., :3])
    constant = product - q.log_prob_of_layers(points)[0]
    torch.testing.assert_close(constant, constant[:1].expand_as(constant))
