"""A step is the step of the paper, with noise of its own, and so is what is recorded."""

import itertools
import math

import pytest
import torch
from torch import distributions
from torch.nn import functional as F

from tests.support.runs import BATCH, K, run_config, steps_of
from vaebench import results
from vaebench.config.build import build_stack, load_data, streams
from vaebench.evaluation import Subject, evaluate
from vaebench.evaluation.likelihood.bounds import bounds
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.ops.adam import AdamScalars
from vaebench.ops.noise import Noise, key, normals
from vaebench.running.harness import train_all
from vaebench.training.descent import StackAdam
from vaebench.training.loop import train
from vaebench.training.minibatches import batches

CPU = torch.device("cpu")

# ------------------------------------------------------------------ a step by hand


def decoded(config, x, out):
    """p(x|z) from the decoder's output, at the initial parameters, as torch.distributions."""
    likelihood = config.likelihood.name
    first, second = (
        out.chunk(2, -1) if LIKELIHOODS[likelihood].outputs_per_pixel == 2 else 2 * [out]
    )
    match likelihood:
        case "bernoulli":
            return distributions.Bernoulli(logits=out)
        case "continuous_bernoulli":
            return distributions.ContinuousBernoulli(logits=out)
        case "beta":
            return distributions.Beta(*(0.1 + F.softplus(raw - 0.1) for raw in (first, second)))
        case "gaussian":
            return distributions.Normal(out, config.likelihood.hyper["sigma"])
        case "gaussian_learned":
            return distributions.Normal(out, math.exp(-1.0))
        case "gaussian_optimal":
            return distributions.Normal(out, (x - out).square().mean().sqrt())
        case "gaussian_per_pixel":
            return distributions.Normal(first, torch.exp(-6.0 + F.softplus(second + 6.0)))
        case "laplace":
            return distributions.Laplace(out, config.likelihood.hyper["scale"])
        case "categorical":
            return Levels(out.unflatten(-1, (256, -1)).movedim(-2, -1))


class Levels(distributions.Categorical):
    """Over the levels k / 255."""

    def __init__(self, logits):
        super().__init__(logits=logits)

    def log_prob(self, value):
        return super().log_prob((255 * value).round())


BY_HAND = [
    *("bernoulli", "continuous_bernoulli", "beta", "laplace", "categorical"),
    *("gaussian", "gaussian_learned", "gaussian_optimal", "gaussian_per_pixel"),
]
"""The likelihoods that torch.distributions has; discretised ones have their tests beside them."""


def densities_by_hand(config, dataset, x):
    """log p(x|z), log p(z), log q(z|x) [K, B] and the closed-form KL [B] of the first step."""
    model = build_stack([config], dataset.image_shape)
    q = model.posterior(x)
    eps = normals(Noise((key(config.seed, "train"),), step=0), config.num_samples, *q.mu.shape[1:])
    z = q.mu + torch.exp(0.5 * q.log_var) * eps
    prior = distributions.Normal(0.0, 1.0)
    posterior = distributions.Normal(q.mu, torch.exp(0.5 * q.log_var))
    log_px_z = decoded(config, x, model.decode(z)).log_prob(x).sum(-1)
    if dataset.dequantised:
        log_px_z = log_px_z - 64 * math.log(256)
    log_pz, log_qz = prior.log_prob(z).sum(-1), posterior.log_prob(z).sum(-1)
    kl = distributions.kl_divergence(posterior, prior).sum(-1)
    return log_px_z[:, 0], log_pz[:, 0], log_qz[:, 0], kl[0]


FORMULAS = {
    "elbo": lambda px, pz, qz, kl: kl - px.mean(0),
    "elbo_mc": lambda px, pz, qz, kl: (qz - pz - px).mean(0),
    "beta_elbo": lambda px, pz, qz, kl: 4.0 * kl - px.mean(0),
    "reconstruction_only": lambda px, pz, qz, kl: -px.mean(0),
    "iwae": lambda px, pz, qz, kl: -(px + pz - qz).exp().mean(0).log(),
}
"""The objectives as their papers write them, at their default hyperparameters."""


@pytest.mark.parametrize("num_samples", [1, K])
@pytest.mark.parametrize("likelihood", BY_HAND)
@pytest.mark.parametrize("objective", FORMULAS)
def test_the_first_step_is_the_one_by_hand(objective, likelihood, num_samples):
    """In float64, so that exp of some hundred nats below 0 is a number."""
    config = run_config(objective, likelihood, num_samples=num_samples, seed=5)
    dataset = load_data(config.data)
    x = next(batches([config], dataset, torch.zeros(())))[0]
    parts = [part.double() for part in densities_by_hand(config, dataset, x)]
    step = next(steps_of([config])[1])
    assert step.terms.z.shape == (num_samples, 1, BATCH, config.model.latent_dim)
    expected = FORMULAS[objective](*parts).mean().float()
    torch.testing.assert_close(step.loss[0], expected, rtol=1e-5, atol=1e-4)


def test_every_parameter_is_in_the_optimiser_and_learned_sigma_moves_by_its_rate():
    """Adam's first step has the length of the learning rate."""
    rates = [1e-3, 1e-2]
    configs = [run_config("elbo", "gaussian_learned", learning_rate=rate) for rate in rates]
    model, steps = steps_of(configs)
    before = model.learned["log_sigma"].detach().clone()
    next(steps)
    moved = (model.learned["log_sigma"].detach() - before).abs()
    torch.testing.assert_close(moved, torch.tensor(rates)[:, None], rtol=1e-3, atol=0.0)

    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    held = [parameter.detach().clone() for parameter in model.parameters()]
    StackAdam(model).step([AdamScalars(1e-3)] * 2)
    for parameter, value in zip(model.parameters(), held, strict=True):
        assert (parameter < value).all()


# ------------------------------------------------------------------ noise


def noise_of(step):
    """The standard normals that a step's samples were made of: [K, S, B, D]."""
    mu, log_var, z = (part.detach() for part in (step.terms.mu, step.terms.log_var, step.terms.z))
    return (z - mu) * torch.exp(-0.5 * log_var)


def test_every_step_has_its_own_noise_of_its_own_run():
    configs = [run_config(seed=seed) for seed in (0, 9)]
    used = [noise_of(step) for step in steps_of(configs)[1]]
    keys = tuple(key(seed, "train") for seed in (0, 9))
    for index, eps in enumerate(used):
        expected = normals(Noise(keys, step=index), K, BATCH, 2)
        torch.testing.assert_close(eps, expected, rtol=1e-3, atol=1e-4)
    different = [(used[0][:, 0], used[0][:, 1]), (used[0][0], used[0][1])]
    for a, b in [*itertools.combinations(used, 2), *different]:
        assert (a - b).abs().mean() > 0.5


def test_the_curve_has_noise_of_its_own():
    config = run_config("elbo", num_samples=1, seed=2)
    dataset = load_data(config.data)
    trained = train([config], dataset, CPU)
    logged = trained.curves[0]["valid_elbo_nats"][-1]

    def valid_elbo(stream):
        noise = streams([config], stream)
        return float(
            bounds(trained.model, dataset.observe("valid"), noise, num_samples=1).elbo[0].mean()
        )

    assert logged == pytest.approx(valid_elbo("curve"), abs=1e-4)
    assert logged != pytest.approx(valid_elbo("train"), abs=1e-4)


def test_the_record_is_the_evaluation_of_the_weights_with_noise_not_trained_with(tmp_path):
    config = run_config("elbo", num_samples=1, seed=4)
    train_all([config], tmp_path, "study", executor="inline")
    (record,) = results.records(tmp_path)
    dataset = load_data(config.data)
    model = build_stack([config], dataset.image_shape)
    model.load_state_dict(torch.load(tmp_path / "weights" / f"{config.id}.pt", weights_only=True))

    def nll(stream):
        noise = Noise((key(config.seed, stream),))
        computed = evaluate(Subject(model, dataset, noise, num_samples=5, num_images=40))
        return computed.values["nll"][0]

    (recorded,) = (m.value for m in record.metrics if m.metric == "nll")
    assert recorded == pytest.approx(nll("evaluate"), abs=1e-4)
    assert recorded != pytest.approx(nll("train"), abs=1e-4)
