"""Latent use: active and collapsed dimensions, and the rate of each."""

import math

import pytest
import torch

from tests.support.families import KEYS, D, S, model_of
from tests.support.latent_subjects import NOISE, Codes, observations, subject_of
from tests.support.runs import pairs
from vaebench.evaluation.codes import usage as module
from vaebench.evaluation.codes.usage import active_units, collapsed, latent, posterior_means
from vaebench.evaluation.likelihood.bounds import bounds
from vaebench.models import select
from vaebench.models.posteriors import POSTERIORS
from vaebench.ops.noise import Noise

SPLIT = [
    pair
    for pair in pairs()
    if POSTERIORS[pair[0]].discrete or pair == ("diagonal_gaussian", "standard_normal")
]
"""Posterior and prior whose KL is a sum over dimensions."""


def by_name(grades):
    return {grade.name: grade for grade in grades}


def test_collapsed_is_the_share_of_dimensions_that_all_but_delta_leave_at_the_prior():
    """Among 200 images 2 may have a KL of epsilon or more, 3 may not."""
    kl = torch.full((2, 200, 4), 0.0099)
    kl[0, :2, 0] = kl[0, :3, 1] = 0.01
    kl[1, :, :3] = 5.0
    assert collapsed(kl).tolist() == [0.75, 0.25]


def test_nothing_is_said_where_there_is_no_formula():
    kl = torch.zeros(2, 5, 3)
    kl[1, 2, 0] = math.nan
    assert collapsed(kl)[0] == 1.0
    assert collapsed(kl)[1].isnan()


@torch.no_grad()
@pytest.mark.parametrize(("posterior", "prior"), SPLIT)
def test_rates_of_dimensions_add_up_to_the_rate(posterior, prior):
    model = model_of(posterior, prior)
    computed = by_name(latent(subject_of(model)))["rate_per_dimension"]
    rate = bounds(model, observations(), NOISE, num_samples=2).rate.mean(-1)
    assert computed.parts.shape == (S, D)
    assert computed.axis == "dimension"
    torch.testing.assert_close(computed.parts.sum(-1), rate)
    torch.testing.assert_close(D * computed.values, rate)
    assert not any(computed.doubts)


@torch.no_grad()
@pytest.mark.parametrize(("posterior", "prior"), [p for p in pairs() if p not in SPLIT])
def test_where_the_rate_does_not_split_the_grades_say_so(posterior, prior):
    computed = by_name(latent(subject_of(model_of(posterior, prior))))
    assert computed["active_units"].values.shape == computed["mse"].values.shape == (S,)
    for name in ("collapsed", "rate_per_dimension"):
        assert computed[name].values.isnan().all()
        assert "no formula for each dimension" in computed[name].absent
        assert computed[name].parts is None


@torch.no_grad()
@pytest.mark.parametrize(("posterior", "prior"), pairs())
@pytest.mark.parametrize("max_bytes", [1, 5000])
def test_chunks_and_stacks_do_not_show_in_latent_use(monkeypatch, posterior, prior, max_bytes):
    model = model_of(posterior, prior)
    whole = by_name(latent(subject_of(model)))
    means = posterior_means(model, observations(), NOISE)
    monkeypatch.setattr(module, "bytes_for", lambda device: max_bytes)
    torch.testing.assert_close(posterior_means(model, observations(), NOISE), means)
    alone = subject_of(select(model, [1]), noise=Noise(KEYS[1:2], step=7))
    for grade in latent(alone):
        expected = whole[grade.name].values[1:2]
        torch.testing.assert_close(grade.values, expected, equal_nan=True, rtol=1e-9, atol=1e-12)


@torch.no_grad()
def test_a_collapsed_and_a_used_dimension_of_a_model_from_elsewhere():
    """mu_1 = +-2 and unit variance: KL 2 nats; the other dimension is the prior."""
    mu = torch.tensor([[2.0, 0.0], [-2.0, 0.0]]).double().repeat(20, 1)
    computed = by_name(latent(subject_of(Codes(), torch.cat([mu, torch.zeros(40, 2)], -1))))
    assert computed["collapsed"].values.tolist() == [0.5]
    assert computed["rate_per_dimension"].parts.tolist() == [[2.0, 0.0]]
    assert computed["rate_per_dimension"].values.tolist() == [1.0]
    assert computed["active_units"].values.tolist() == [1]


def test_active_units_counts_dimensions_whose_mean_moves():
    mu = torch.randn(2, 500, 4, generator=torch.Generator().manual_seed(0))
    scale = torch.tensor([[1.0, 0.5, 0.05, 0.0], [1.0, 1.0, 1.0, 0.2]])
    assert active_units(mu * scale[:, None]).tolist() == [2, 4]
