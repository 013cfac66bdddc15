"""The loop: a run in a stack is the run alone, and a step is the step of the paper.

Losses alone do not show a wrongly scaled gradient, which Adam hides: norms are compared as well.
"""

import dataclasses
import itertools
import math

import pytest
import torch
from conftest import tiny
from torch import distributions

from vaebench import results
from vaebench.data import Dataset, Part
from vaebench.evaluate import evaluate
from vaebench.evaluate.bounds import bounds
from vaebench.likelihoods import LIKELIHOODS
from vaebench.noise import Noise, key, normals
from vaebench.objectives import OBJECTIVES
from vaebench.stack import Job, load_data, perform
from vaebench.train import (
    StackAdam,
    batches,
    build_stack,
    gradient_norms,
    streams,
    train,
    training_steps,
)

K, NUM_STEPS, BATCH = 3, 5, 16
CPU = torch.device("cpu")


def run_config(objective="elbo", likelihood="bernoulli", *, num_samples=K, **more):
    """A short run; `more` may hold fields of the training section too."""
    in_train = {"learning_rate", "max_grad_norm"} & more.keys()
    settings = {"num_steps": NUM_STEPS, "batch_size": BATCH} | {k: more.pop(k) for k in in_train}
    return tiny(
        objective=with_hyper(objective, OBJECTIVES),
        likelihood=with_hyper(likelihood, LIKELIHOODS),
        num_samples=num_samples,
        train=settings,
        **more,
    )


def with_hyper(entry, registry):
    """A name, or a table, with a value for every hyperparameter that has no default."""
    table = {"name": entry} if isinstance(entry, str) else entry
    needed = {
        name: sum(hyper.search or (1.0, 1.0)) / 2
        for name, hyper in registry[table["name"]].hyper.items()
        if hyper.default is None
    }
    return needed | table


def steps_of(configs):
    """The model, and the steps that train it."""
    dataset = load_data(configs[0].data)
    model = build_stack(configs, dataset.num_pixels)
    return model, training_steps(model, configs, dataset)


def trace(configs):
    """Loss and norm of the gradient of each run at each step: [T, 2, S]."""
    model, steps = steps_of(configs)
    return torch.stack([torch.stack([step.loss, gradient_norms(model)]) for step in steps])


def close(a, b):
    return torch.allclose(a, b, rtol=2e-4, atol=1e-5)


def isolated(configs):
    """Whether every run of the stack is what it is alone."""
    stacked = trace(configs)
    alone = torch.cat([trace([config]) for config in configs], -1)
    assert stacked.shape == (NUM_STEPS, 2, len(configs))
    return close(stacked, alone)


# ------------------------------------------------------------------ a stack and its runs alone


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_stacked_is_alone(objective, likelihood):
    assert isolated([run_config(objective, likelihood, seed=seed) for seed in (0, 1, 1)])


def test_the_check_sees_an_objective_that_mixes_runs(monkeypatch):
    elbo = OBJECTIVES["elbo"]

    def mixed(terms):
        loss = elbo.loss(terms)
        return loss.mean(0, keepdim=True).expand_as(loss)

    monkeypatch.setitem(OBJECTIVES._entries, "elbo", dataclasses.replace(elbo, loss=mixed))
    assert not isolated([run_config(seed=seed) for seed in (0, 1)])


def linear(**points):
    return {"name": "linear", "over": 1.0, **points}


PAIRS = {
    "sigma": [{"likelihood": {"name": "gaussian", "sigma": s}} for s in (0.2, 0.6)],
    "clipping": [{"max_grad_norm": limit} for limit in (0.5, 2.0)],
    "clipping or none": [{"max_grad_norm": limit} for limit in (0.5, None)],
    "rate weight": [{"rate_weight": w} for w in (0.1, 3.0)],
    "rate weight schedule": [{"rate_weight": w} for w in (0.4, linear(stop=2.0))],
    "learning rate": [{"learning_rate": rate} for rate in (1e-3, 1e-2)],
    "beta": [{"objective": {"name": "beta_elbo", "beta": b}} for b in (0.5, 8.0)],
    "beta schedule": [{"objective": {"name": "beta_elbo", "beta": b}} for b in (4.0, linear())],
}
"""What two runs of one stack, of one seed, differ in."""


@pytest.mark.parametrize("what", PAIRS)
def test_each_run_has_its_own_scalars(what):
    """One seed: without their own scalar the two would be equal."""
    configs = [run_config(seed=3, **changes) for changes in PAIRS[what]]
    assert configs[0].stack_key == configs[1].stack_key
    first, second = (trace([config]) for config in configs)
    assert not close(first, second)
    assert isolated(configs)
    assert isolated(configs[::-1])


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_rate_weight_follows_its_schedule(likelihood):
    config = run_config("elbo", likelihood, rate_weight=linear(start=0.5, stop=1.5))
    for step in steps_of([config])[1]:
        weight = 0.5 + step.index / NUM_STEPS
        expected = (weight * step.terms.kl - step.terms.log_px_z.mean(0)).mean(-1)
        torch.testing.assert_close(step.loss, expected)


# ------------------------------------------------------------------ a step by hand


def decoded(likelihood, out):
    """p(x|z) from the decoder's output, at the initial parameters, as torch.distributions."""
    if likelihood == "bernoulli":
        return distributions.Bernoulli(logits=out)
    learned = math.exp(LIKELIHOODS["gaussian_learned"].learned["log_sigma"])
    given = with_hyper("gaussian", LIKELIHOODS).get("sigma")
    sigma = {"gaussian": given, "gaussian_learned": learned}
    return distributions.Normal(out, sigma[likelihood])


def densities_by_hand(config, x):
    """log p(x|z), log p(z), log q(z|x) [K, B] and the closed-form KL [B] of the first step."""
    model = build_stack([config], x.shape[-1])
    mu, log_var = model.encode(x)
    eps = normals(Noise((key(config.seed, "train"),), step=0), config.num_samples, *mu.shape[1:])
    z = mu + torch.exp(0.5 * log_var) * eps
    prior = distributions.Normal(0.0, 1.0)
    posterior = distributions.Normal(mu, torch.exp(0.5 * log_var))
    log_px_z = decoded(config.likelihood.name, model.decode(z)).log_prob(x).sum(-1)
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
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("objective", FORMULAS)
def test_the_first_step_is_the_one_by_hand(objective, likelihood, num_samples):
    """In float64, so that exp of some hundred nats below 0 is a number."""
    config = run_config(objective, likelihood, num_samples=num_samples, seed=5)
    dataset = load_data(config.data)
    x = next(batches([config], dataset, torch.zeros(())))
    parts = [part.double() for part in densities_by_hand(config, x)]
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

    groups = StackAdam(model, [1e-3, 1e-3]).adam.param_groups
    held = {parameter.data_ptr() for group in groups for parameter in group["params"]}
    assert held == {parameter.data_ptr() for parameter in model.parameters()}


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
    (logged,) = trained.curves["valid_elbo_nats"][-1]

    def valid_elbo(stream):
        noise = streams([config], stream)
        return float(
            bounds(trained.model, dataset.observe("valid"), noise, num_samples=1).elbo[0].mean()
        )

    assert logged == pytest.approx(valid_elbo("curve"), abs=1e-4)
    assert logged != pytest.approx(valid_elbo("train"), abs=1e-4)


def test_the_record_is_the_evaluation_of_the_weights_with_noise_not_trained_with(tmp_path):
    config = run_config("elbo", num_samples=1, seed=4)
    results.prepare(tmp_path)
    perform(Job((config,), tmp_path, "study"), lambda steps: None)
    (record,) = results.records(tmp_path)
    dataset = load_data(config.data)
    model = build_stack([config], dataset.num_pixels)
    model.load_state_dict(torch.load(tmp_path / "weights" / f"{config.id}.pt", weights_only=True))

    def nll(stream):
        noise = Noise((key(config.seed, stream),))
        found = evaluate(model, dataset, noise, num_samples=5, num_images=40)
        return found.values["nll"][0]

    (recorded,) = (m.value for m in record.metrics if m.metric == "nll")
    assert recorded == pytest.approx(nll("evaluate"), abs=1e-4)
    assert recorded != pytest.approx(nll("train"), abs=1e-4)


# ------------------------------------------------------------------ batches


NUM_IMAGES, NUM_BITS, NUM_GREY = 32, 5, 20


def numbered_images():
    """Images that carry their number in pixels of 0 and 1, beside grey ones, drawn dynamically."""
    bits = torch.arange(NUM_IMAGES)[:, None] >> torch.arange(NUM_BITS) & 1
    grey = torch.full((NUM_IMAGES, NUM_GREY), 0.5)
    part = Part(torch.cat([bits.float(), grey], 1), None)
    return Dataset("numbered", (5, 5), "dynamic", "f", part, part, part)


def read_epochs(configs):
    """Numbers [E, S, N] and grey pixels [E, S, N, G] of every image, in the order of training."""
    seen = torch.stack(list(batches(configs, numbered_images(), torch.zeros(()))))
    per_epoch = seen.unflatten(0, (-1, NUM_IMAGES // BATCH)).transpose(1, 2).flatten(2, 3)
    numbers = (per_epoch[..., :NUM_BITS] * 2 ** torch.arange(NUM_BITS)).sum(-1).long()
    return numbers, per_epoch[..., NUM_BITS:]


def test_epochs_and_runs_shuffle_anew_and_only_epochs_draw_anew():
    train_settings = {"num_steps": 2 * NUM_IMAGES // BATCH, "batch_size": BATCH}
    configs = [tiny(seed=seed, train=train_settings) for seed in (0, 1)]
    numbers, grey = read_epochs(configs)
    assert torch.equal(numbers.sort(-1).values, torch.arange(NUM_IMAGES).expand_as(numbers))
    assert not torch.equal(numbers[0, 0], numbers[1, 0])
    assert not torch.equal(numbers[0, 0], numbers[0, 1])
    order = numbers.argsort(-1)[..., None].expand_as(grey)
    drawn = grey.gather(2, order)  # by image number
    assert torch.equal(drawn[:, 0], drawn[:, 1])
    changed = (drawn[0, 0] != drawn[1, 0]).float().mean()
    assert 0.4 < changed < 0.6
