"""Objectives with a state or a network of their own: what the loop keeps and trains for them."""

import dataclasses
import inspect
import math

import pytest
import torch

from tests.support.runs import BATCH, isolated, run_config, steps_of
from vaebench.models import Family, build
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.models.posteriors import Latent
from vaebench.models.terms import Terms, compute_terms
from vaebench.objectives import OBJECTIVES, Objective, objective
from vaebench.ops.noise import Noise, key, normals
from vaebench.training.descent import clip_gradients


def test_the_decorator_takes_every_fact_by_name_with_its_default():
    """The two lists of names, types and defaults are one."""
    facts = {f.name: f for f in dataclasses.fields(Objective) if f.name not in ("name", "loss")}
    arguments = inspect.signature(objective).parameters
    assert list(arguments) == list(facts)
    for name, argument in arguments.items():
        fact = facts[name]
        made = fact.default_factory is not dataclasses.MISSING
        default = fact.default_factory() if made else fact.default
        assert argument.default == (argument.empty if default is dataclasses.MISSING else default)
        assert argument.annotation == fact.type
        assert argument.kind is argument.KEYWORD_ONLY


# ------------------------------------------------------------------ GECO


def geco(target, **more):
    return {"name": "geco", "target": target, **more}


def multipliers_used(steps, target):
    """What each loss must have been made with: (loss - rate) / (distortion - target), [T, S]."""
    used, distortions = [], []
    for step in steps:
        rate, distortion = (part.mean(-1) for part in (step.terms.rate, step.terms.distortion))
        used.append(((step.loss - rate) / (distortion - target)).detach())
        distortions.append(distortion.detach())
    return torch.stack(used), torch.stack(distortions)


@pytest.mark.parametrize("target", [10.0, 80.0])
def test_the_multiplier_moves_by_algorithm_1(target):
    """lambda exp(speed C), C the moving average of the excess, which starts as the first one."""
    objective = geco(target, momentum=0.9, speed=0.002)
    configs = [run_config(objective, seed=seed, num_steps=30) for seed in (0, 1)]
    used, distortions = multipliers_used(steps_of(configs)[1], target)
    multiplier, constraint = torch.ones(2), distortions[0] - target
    for now, distortion in zip(used, distortions, strict=True):
        torch.testing.assert_close(now, multiplier, rtol=1e-3, atol=1e-3)
        constraint = 0.9 * constraint + 0.1 * (distortion - target)
        multiplier = multiplier * torch.exp(0.002 * constraint)
    assert ((used[-1] > 2) if target == 10.0 else (used[-1] < 0.5)).all()


def test_growth_and_multiplier_are_kept_within_limits():
    objective = geco(1e4, momentum=0.0, speed=1e3)
    used, _ = multipliers_used(steps_of([run_config(objective, num_steps=15)])[1], 1e4)
    expected = [max(math.exp(-i), 1e-4) for i in range(15)]
    torch.testing.assert_close(used[:, 0], torch.tensor(expected), rtol=0.05, atol=1e-4)


def test_the_state_of_a_run_is_its_own():
    """Over more steps than the tests of every objective take, and with targets on both sides."""
    configs = [run_config(geco(t, speed=0.05), seed=3, num_steps=30) for t in (10.0, 60.0, 30.0)]
    assert isolated(configs)


# ------------------------------------------------------------------ FactorVAE


FACTOR = OBJECTIVES["factor_vae"]


def factor_step():
    """A fresh model of two runs, and its terms of one batch."""
    configs = [run_config("factor_vae", seed=seed) for seed in (0, 1)]
    model, _ = steps_of(configs)
    x = (torch.rand(2, BATCH, 64, generator=torch.Generator().manual_seed(0)) < 0.3).float()
    return model, compute_terms(model, x, Noise((1, 2)), num_samples=4, training=True)


def gradients(module):
    return [torch.zeros_like(p) if p.grad is None else p.grad for p in module.parameters()]


def test_the_discriminator_learns_from_its_own_loss_and_the_model_does_not():
    model, terms = factor_step()
    FACTOR.auxiliary.loss(terms).mean(-1).sum().backward()
    assert all(float(g.abs().sum()) > 0 for g in gradients(model.auxiliary))
    for part in (model.encoder, model.decoder):
        assert all(float(g.abs().sum()) == 0 for g in gradients(part))


def test_the_model_learns_from_the_objective_and_the_discriminator_does_not():
    by_gamma = []
    for gamma in (0.0, 6.0):
        model, terms = factor_step()
        FACTOR(terms, gamma=gamma).mean(-1).sum().backward()
        assert all(float(g.abs().sum()) == 0 for g in gradients(model.auxiliary))
        by_gamma.append(gradients(model.encoder))
    differences = [float((a - b).abs().max()) for a, b in zip(*by_gamma, strict=True)]
    assert min(differences) > 1e-6  # the discriminator's opinion reaches the encoder through z


def test_the_loop_gives_each_the_gradient_of_its_own_loss():
    configs = [run_config("factor_vae", seed=seed) for seed in (0, 1)]
    looped, steps = steps_of(configs)
    terms = next(steps).terms
    alone, _ = steps_of(configs)
    x = first_batch(configs)
    for loss in (lambda t: FACTOR(t, gamma=6.0), FACTOR.auxiliary.loss):
        again = compute_terms(alone, x, terms.noise, num_samples=4, training=True)
        loss(again).mean(-1).sum().backward()
    for ours, theirs in zip(gradients(looped), gradients(alone), strict=True):
        torch.testing.assert_close(ours, theirs)


def first_batch(configs):
    from vaebench.config.build import load_data
    from vaebench.training.minibatches import batches

    return next(batches(configs, load_data(configs[0].data), torch.zeros(())))[0]


def test_the_discriminator_of_a_run_is_its_own():
    configs = [
        run_config({"name": "factor_vae", "gamma": gamma}, seed=seed, num_steps=30)
        for gamma, seed in ((6.0, 0), (20.0, 0), (6.0, 1))
    ]
    assert isolated(configs)


def correlated(noise, num_rows, rho):
    """Codes [1, 1, n, 2] of N(0, [[1, rho], [rho, 1]])."""
    a, b = normals(noise, 1, num_rows, 2).unbind(-1)
    return torch.stack([a, rho * a + math.sqrt(1 - rho**2) * b], -1)


def test_a_trained_discriminator_gives_the_total_correlation():
    """-log(1 - rho^2) / 2 for a Gaussian of two dimensions."""
    noise, rho = Noise((key("factor"),)), 0.9
    family = Family(LIKELIHOODS["bernoulli"], latent=Latent(2), auxiliary=FACTOR.auxiliary.network)
    critic = build("mlp", family, image_shape=(4,), widths=(), noise=noise).auxiliary

    def terms_of(step):
        z = correlated(noise.at(step=step), 512, rho)
        return Terms(None, z, torch.zeros(1, 1, 512), noise=noise.at(step=step), auxiliary=critic)

    adam = torch.optim.Adam(critic.parameters(), 3e-3)
    for step in range(300):
        adam.zero_grad()
        FACTOR.auxiliary.loss(terms_of(step)).mean().backward()
        adam.step()
    log_odds = torch.stack([terms_of(300 + i).judge(terms_of(300 + i).z[0]) for i in range(20)])
    assert float(log_odds.detach().mean()) == pytest.approx(-0.5 * math.log(1 - rho**2), abs=0.1)


def test_a_limit_on_the_gradient_is_not_one_on_the_discriminator():
    """Its gradient is of another loss: it neither counts towards the norm nor is scaled down."""
    norms = []
    for scale in (1.0, 1e3):
        model, terms = factor_step()
        total = FACTOR(terms, gamma=6.0).mean(-1).sum()
        (total + scale * FACTOR.auxiliary.loss(terms).mean(-1).sum()).backward()
        before = [g.clone() for g in gradients(model.auxiliary)]
        norms.append(clip_gradients(model, torch.full((2,), 1e-3)))
        assert all(map(torch.equal, before, gradients(model.auxiliary)))
    assert torch.equal(*norms)
