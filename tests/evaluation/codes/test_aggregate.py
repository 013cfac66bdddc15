"""The aggregate posterior: mutual information, and the KL to the prior."""

import math
from types import SimpleNamespace

import pytest
import torch

from tests.support.families import KEYS, C, D, S, model_of, within_error
from tests.support.latent_subjects import NOISE, Codes, N, observations, subject_of
from tests.support.runs import pairs
from vaebench.core.errors import InputError
from vaebench.data import load
from vaebench.diagnostics.certify.exact import gaussian_population as population
from vaebench.diagnostics.certify.objectives.aggregate_posterior import aggregate as exact_aggregate
from vaebench.evaluation.codes import aggregate as module
from vaebench.evaluation.codes.aggregate import aggregate, evenly_spaced, information
from vaebench.evaluation.grading import GRADINGS
from vaebench.models import select
from vaebench.models.posteriors import Drawing
from vaebench.models.priors import PRIORS, BoundPrior
from vaebench.ops import densities
from vaebench.ops.noise import Noise, normals

K = 3
SCORED = [pair for pair in pairs() if pair[0] != "planar_flow"]
"""Posteriors with log q(z|x) at any z."""


@torch.no_grad()
@pytest.mark.parametrize(("posterior", "prior"), SCORED)
def test_q_of_z_is_the_mixture_of_every_posterior_by_hand(posterior, prior):
    """Each code of each run under the posterior of each example, one at a time."""
    model, x = model_of(posterior, prior), observations()
    computed = information(model, x, NOISE, num_codes=K)
    z = model.posterior(x.expand(S, N, 7)).draw(Drawing(NOISE, K, densities)).z
    each = [model.posterior(x[n].expand(S, N, 7)).log_prob(z) for n in range(N)]  # N of [K, S, N]
    log_qz = torch.logsumexp(torch.stack(each), 0) - math.log(N)
    log_qz_x = torch.stack([each[n][..., n] for n in range(N)], -1)
    torch.testing.assert_close(computed.mutual, (log_qz_x - log_qz).mean(0))
    torch.testing.assert_close(computed.aggregate_kl, (log_qz - model.prior().log_prob(z)).mean(0))
    assert (computed.mutual <= math.log(N) + 1e-9).all()


@torch.no_grad()
@pytest.mark.parametrize(("posterior", "prior"), SCORED)
def test_the_two_add_up_to_the_rate_on_the_same_codes(posterior, prior):
    model, x = model_of(posterior, prior), observations()
    computed = information(model, x, NOISE, num_codes=K)
    q, p = model.posterior(x.expand(S, N, 7)), model.prior()
    draw = q.draw(Drawing(NOISE, K, densities))
    log_q = q.log_prob(draw.z) if draw.log_qz_x is None else draw.log_qz_x
    rate = (log_q - p.log_prob(draw.z)).mean(0)
    torch.testing.assert_close(computed.mutual + computed.aggregate_kl, rate)


@pytest.mark.parametrize(("posterior", "prior"), SCORED)
def test_chunks_and_stacks_do_not_show_in_the_aggregate(monkeypatch, posterior, prior):
    model, x = model_of(posterior, prior), observations()
    whole = information(model, x, NOISE, num_codes=K)
    monkeypatch.setattr(module, "bytes_for", lambda device: 1)
    for max_bytes in (1, 20_000):
        chunked = information(model, x, NOISE, num_codes=K, max_bytes=max_bytes)
        torch.testing.assert_close(vars(chunked), vars(whole))
    alone = information(select(model, [1]), x, Noise(KEYS[1:2], step=7), num_codes=K)
    for name, values in vars(alone).items():
        torch.testing.assert_close(values, vars(whole)[name][1:2])


def population_numbers(seed):
    """mu and log-variance [400, 2 D] of images of the population of `certify`."""
    noise, num = Noise((seed,)), 400
    e = normals(noise, 1, num, 3)[0, 0].double()
    x = e @ population.double(population.TO_X).T + population.double(population.MEAN_X)
    mu = x @ population.double(population.TO_Z).T + population.double(population.SHIFT_Z)
    return torch.cat([mu, population.double(population.LOG_VARIANCE).expand(num, 3)], -1)


def test_of_a_population_they_are_the_closed_form():
    """Where q(z) is Gaussian, to 4.5 standard errors over sets of 400 images.

    The mixture holds a code's own example. So log q(z) is too high by (r - 1) / 2N to first order,
    r = E[q(z|x) / q(z)] = exp(2 I) for Gaussians: the whole of this for the own density, less half
    of it for the logarithm of a mean.
    """
    computed = [
        information(
            Codes(dim=population.LATENT), population_numbers(i), Noise((900 + i,)), num_codes=4
        )
        for i in range(40)
    ]
    exact = exact_aggregate(num_examples=400)
    bias = (math.exp(2.0 * exact.mutual_information) - 1.0) / (2.0 * 400)
    mutual = torch.stack([f.mutual.mean() for f in computed])
    kl = torch.stack([f.aggregate_kl.mean() for f in computed])
    assert exact.mutual_information > 0.3
    assert float(mutual.std()) / 40**0.5 < 0.01
    assert within_error(mutual, exact.mutual_information - bias)
    assert within_error(kl, exact.rate - exact.mutual_information + bias)


def test_codes_far_apart_tell_the_image():
    """I = log N to every digit, and KL[q(z) || p(z)] is the rate less that."""
    mu = 100.0 * torch.arange(N).double()[:, None].expand(N, D)
    x = torch.cat([mu, torch.full((N, D), -1.0)], -1)
    computed = information(Codes(), x, Noise((1,)), num_codes=2)
    torch.testing.assert_close(computed.mutual, torch.full_like(computed.mutual, math.log(N)))


def test_codes_that_are_the_prior_tell_nothing():
    computed = information(Codes(), torch.zeros(N, 2 * D).double(), Noise((1,)), num_codes=2)
    for values in vars(computed).values():
        torch.testing.assert_close(values, torch.zeros_like(values))


def test_discrete_codes_that_name_the_image_fill_a_uniform_prior():
    """Nine images and nine codes, each certain: I = log 9, and q(z) is the prior."""
    values = torch.cartesian_prod(torch.arange(C), torch.arange(C))
    logits = 50.0 * torch.nn.functional.one_hot(values, C).double().flatten(-2)
    model = Codes("categorical", BoundPrior(PRIORS["uniform_categorical"], {}))
    computed = information(model, logits, Noise((1,)), num_codes=2)
    torch.testing.assert_close(computed.mutual, torch.full_like(computed.mutual, math.log(9)))
    torch.testing.assert_close(computed.aggregate_kl, torch.zeros_like(computed.mutual))


# ------------------------------------------------------------------ the grading


def by_name(grades):
    return {grade.name: grade for grade in grades}


def test_the_grading_takes_a_part_of_the_images_and_doubts_its_ceiling():
    mu = 100.0 * torch.arange(50).double()[:, None].expand(50, D)
    far = torch.cat([mu, torch.zeros(50, D)], -1)
    near = far * torch.tensor([1e-3, 0.0, 1.0, 1.0])
    subject = subject_of(Codes(), far, Noise((1,)))
    grades = by_name(aggregate(subject, num_examples=20, num_codes=1))
    assert grades["mutual_information"].parts.shape == (1, 20)
    assert float(grades["mutual_information"].values) == pytest.approx(math.log(20))
    assert "N=20 test images" in grades["aggregate_kl"].protocol
    assert "at most log N = 3.00" in grades["mutual_information"].protocol
    for grade in grades.values():
        assert "near its ceiling log N = 3.00" in grade.doubts[0]
        torch.testing.assert_close(grade.parts.mean(-1), grade.values)
    subject = subject_of(Codes(), near, Noise((1,)))
    assert all(grade.doubts == ("",) for grade in aggregate(subject, num_examples=20))


def test_a_run_whose_codes_are_not_finite_says_so_and_leaves_the_others_alone():
    """A stack in which one run encodes one image as NaN."""

    class Breaks(Codes):
        num_runs = 2

        def encoded(self, x):
            return torch.stack([x[0].masked_fill(x[0] == 7.0, math.nan), x[1]])

    numbers = 0.1 * torch.arange(20 * 2 * D).reshape(20, 2 * D).double().sin()
    numbers[3, 0] = 7.0
    both = by_name(aggregate(subject_of(Breaks(), numbers, Noise((1, 2))), num_codes=2))
    alone = by_name(aggregate(subject_of(Codes(), numbers, Noise((2,))), num_codes=2))
    for name, grade in both.items():
        assert math.isnan(grade.values[0])
        assert grade.values[1] == pytest.approx(float(alone[name].values), rel=1e-12)
        assert grade.doubts == ("the codes or their densities have NaN or infinity", "")


def test_images_are_evenly_spaced():
    assert evenly_spaced(torch.arange(10), 4).tolist() == [0, 2, 5, 7]
    assert evenly_spaced(torch.arange(3), 4).tolist() == [0, 1, 2]


def test_a_posterior_without_a_density_is_refused_with_the_reason():
    refuses = GRADINGS["aggregate"].refuses
    reason = refuses(subject_of(model_of("planar_flow", "standard_normal")))
    assert "needs log q(z|x) at any z; posterior 'planar_flow' has no closed form" in reason
    assert not refuses(subject_of(model_of("iaf", "standard_normal")))
    with pytest.raises(InputError, match="planar_flow"):
        information(model_of("planar_flow", "standard_normal"), observations(), NOISE, num_codes=1)


def test_work_grows_with_pairs():
    work, subject = GRADINGS["aggregate"].work, SimpleNamespace(dataset=load("digits", "none"))
    few = work(subject, num_examples=100, num_codes=1) - module.OVERHEAD
    assert work(subject, num_examples=100, num_codes=3) - module.OVERHEAD == 3 * few
    assert work(subject, num_examples=2000, num_codes=1) - module.OVERHEAD == 360**2
