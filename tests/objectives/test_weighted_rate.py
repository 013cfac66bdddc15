"""Objectives of rate and distortion against their formulas, by hand."""

import dataclasses
import math
import statistics

import pytest
import torch

from tests.support.by_hand import B, K, S, arbitrary_terms, numbers
from vaebench.core.errors import InputError
from vaebench.models import Family, build
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.models.posteriors import Latent
from vaebench.models.terms import compute_terms
from vaebench.objectives import OBJECTIVES
from vaebench.ops.noise import Noise


@pytest.fixture
def terms():
    return arbitrary_terms()


def rate_by_hand(t):
    """Kingma & Welling 2014, appendix B, of each dimension: [S][B][D]."""
    return [
        [
            [
                -0.5 * (1 + log_var - mu**2 - math.exp(log_var))
                for mu, log_var in zip(*row, strict=True)
            ]
            for row in zip(*run, strict=True)
        ]
        for run in zip(t.mu.tolist(), t.log_var.tolist(), strict=True)
    ]


def distortion(t):
    return (-t.log_px_z.mean(0)).tolist()


def of_rates(t, loss, by_hand):
    """The loss of every run and example, from its distortion and the rates of its dimensions."""
    expected = [
        [d + by_hand(rates, run) for d, rates in zip(ds, run, strict=True)]
        for ds, run in zip(distortion(t), rate_by_hand(t), strict=True)
    ]
    torch.testing.assert_close(loss, torch.tensor(expected, dtype=torch.float64))


def test_elbo(terms):
    of_rates(terms, OBJECTIVES["elbo"](terms), lambda rates, run: sum(rates))


def test_a_weighted_elbo_is_the_beta_elbo(terms):
    weighted = OBJECTIVES["elbo"](dataclasses.replace(terms, rate_weight=3.0))
    torch.testing.assert_close(weighted, OBJECTIVES["beta_elbo"](terms, beta=3.0))
    of_rates(terms, weighted, lambda rates, run: 3.0 * sum(rates))


def test_free_bits_per_dimension(terms):
    loss = OBJECTIVES["free_bits_per_dimension"](terms, floor=0.4)
    of_rates(terms, loss, lambda rates, run: sum(max(rate, 0.4) for rate in rates))


def test_free_bits_per_example(terms):
    loss = OBJECTIVES["free_bits_per_example"](terms, floor=1.5)
    of_rates(terms, loss, lambda rates, run: max(sum(rates), 1.5))


@pytest.mark.parametrize("groups", [[[0, 1, 2]], [[0, 1], [2]], [[0], [1], [2]]])
def test_free_bits_per_group(terms, groups):
    def by_hand(rates, run):
        means = [statistics.fmean(sum(row[d] for d in group) for row in run) for group in groups]
        return sum(max(mean, 0.6) for mean in means)

    loss = OBJECTIVES["free_bits_per_group"](terms, floor=0.6, groups=len(groups))
    of_rates(terms, loss, by_hand)


def test_more_groups_than_dimensions_are_refused(terms):
    with pytest.raises(InputError, match="at most 3 groups, one per dimension; got 4"):
        OBJECTIVES["free_bits_per_group"](terms, groups=4)


def test_capacities(terms):
    loss = OBJECTIVES["capacity_per_example"](terms, capacity=1.5, gamma=7.0)
    of_rates(terms, loss, lambda rates, run: 7.0 * abs(sum(rates) - 1.5))
    loss = OBJECTIVES["capacity_of_batch"](terms, capacity=1.5, gamma=7.0)
    of_rates(terms, loss, lambda rates, run: 7.0 * abs(statistics.fmean(map(sum, run)) - 1.5))


def test_geco_follows_algorithm_1(terms):
    """A moving constraint, from the first value on, and a multiplier that grows by its exponent."""
    entry, target, momentum, speed = OBJECTIVES["geco"], 4.0, 0.9, 0.05
    hyper = {"target": target, "momentum": momentum, "speed": speed}
    state = {name: torch.full((S, 1), v).double() for name, v in entry.initial_state.items()}
    multiplier, moving = [1.0] * S, [math.nan] * S
    for step in range(4):
        t = dataclasses.replace(terms, log_px_z=numbers(10 + step, K, S, B) - 5.0)
        loss = entry(t, **hyper, **state)
        state = entry.update(t, **hyper, **state)
        for s in range(S):
            expected = t.rate[s] + multiplier[s] * (t.distortion[s] - target)
            torch.testing.assert_close(loss[s], expected)
            now = statistics.fmean(distortion(t)[s]) - target
            moving[s] = now if step == 0 else momentum * moving[s] + (1 - momentum) * now
            multiplier[s] *= math.exp(speed * moving[s])
    assert state["multiplier"][:, 0].tolist() == pytest.approx(multiplier)
    assert state["constraint"][:, 0].tolist() == pytest.approx(moving)


@pytest.mark.parametrize(("target", "factor"), [(-1e6, math.e), (1e6, 1 / math.e)])
def test_gecos_multiplier_grows_by_e_at_most(terms, target, factor):
    entry = OBJECTIVES["geco"]
    state = {name: torch.full((S, 1), v).double() for name, v in entry.initial_state.items()}
    after = entry.update(terms, target=target, momentum=0.9, speed=1.0, **state)
    assert after["multiplier"][:, 0].tolist() == pytest.approx([factor] * S)


def test_reconstruction_only_is_the_mse_of_the_article_up_to_a_factor():
    """Under a Gaussian likelihood its gradient is the bare MSE loop's, times a positive number."""
    sigma, pixels = 0.3, 5
    gradients = []
    for loss_of in (
        lambda model, x, terms: OBJECTIVES["reconstruction_only"](terms).mean(),
        lambda model, x, terms: torch.nn.functional.mse_loss(model.decode(terms.z)[0], x),
    ):
        model = build(
            "mlp",
            Family(LIKELIHOODS["gaussian"], latent=Latent(2)),
            image_shape=(pixels,),
            widths=(6,),
            likelihood_hyper={"sigma": sigma},
            noise=Noise((5,)),
        ).double()
        x = torch.linspace(0, 1, B * pixels, dtype=torch.float64).view(1, B, pixels)
        loss_of(model, x, compute_terms(model, x, Noise((6,)))).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    torch.testing.assert_close(gradients[0], gradients[1] * pixels / (2 * sigma**2))
