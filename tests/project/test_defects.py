"""Defects that other systems have shipped, written again here: each is seen, or cannot happen.

Numbers group them by system. 4.7, of annealed importance sampling, has no test: there is no such
estimator here yet.
"""

import dataclasses
import math
import statistics

import pytest
import torch
from torch.distributions import Normal

from tests.support.by_hand import arbitrary_terms
from tests.support.runs import tiny
from vaebench.core.errors import InputError
from vaebench.data import Images, load
from vaebench.diagnostics.certify import check_objective
from vaebench.diagnostics.certify.exact.linear_gaussian import (
    exact_elbo,
    examples,
    linear_gaussian,
    replicas,
)
from vaebench.diagnostics.certify.finding import equal
from vaebench.diagnostics.certify.objectives import behaviour as conduct
from vaebench.evaluation.likelihood.bounds import bounds
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.models.terms import compute_terms
from vaebench.objectives import OBJECTIVES, GradientOf, Objective, SameAs
from vaebench.objectives.estimators import estimator
from vaebench.ops import densities
from vaebench.ops.noise import Noise, normals
from vaebench.training.curves import CURVES
from vaebench.training.loop import train


def failures(loss, **facts):
    """The declared facts that certification finds not to hold."""
    entry = Objective("faulty", loss, **{"source": "", "bound": "lower", **facts})
    entry.check()
    return [finding.fact for finding in check_objective(entry) if not finding.holds]


def holding(name, part):
    """Whether certification checks such a fact of a registered objective, and it holds."""
    findings = [finding for finding in check_objective(OBJECTIVES[name]) if part in finding.fact]
    return bool(findings) and all(finding.holds for finding in findings)


# ------------------------------------------------------------------ 4.1


def pythae_miwae(t, *, groups: int = 2):
    if t.num_samples % groups:
        raise InputError("groups must divide num_samples")
    log_w = t.log_w.unflatten(0, (groups, -1))  # [M, K, S, B], softmax and sum over axis M
    return -(densities.log_mean_exp(log_w, 0)).mean(0)


def test_4_1_pythae_miwae_normalises_the_wrong_axis():
    """pythae, MIWAE and PIWAE: MIWAE(M, K) trains MIWAE(K, M), which M = K = 8 cannot show."""
    t = arbitrary_terms()
    assert len({t.num_samples, *t.shape, t.z.shape[-1]}) == 4
    one_group = pythae_miwae(t, groups=1)
    torch.testing.assert_close(one_group, OBJECTIVES["elbo_mc"](t))
    torch.testing.assert_close(pythae_miwae(t, groups=t.num_samples), OBJECTIVES["iwae"](t))
    square = dataclasses.replace(
        t, log_px_z=t.log_px_z[:1].expand(4, -1, -1), z=t.z[:1].repeat(4, 1, 1, 1)
    )
    torch.testing.assert_close(pythae_miwae(square), OBJECTIVES["miwae"](square, groups=2))
    for same in OBJECTIVES["miwae"].same_as:
        assert any(
            "same as" in fact for fact in failures(pythae_miwae, same_as=(same,), min_samples=2)
        )
    assert holding("miwae", "same as iwae at groups=1")
    assert holding("miwae", "same as elbo_mc at groups=6, K=6")


# ------------------------------------------------------------------ 4.2


@pytest.mark.parametrize("num_samples", [1, 100, 150])
def test_4_2_pythae_get_nll_uses_another_number_of_samples(wrong_posterior, num_samples):
    """pythae, get_nll: 100 samples where 1 or 150 are asked for. Here decoded rows are counted."""
    decoded = []
    wrong_posterior.decoder.register_forward_hook(lambda m, i, out: decoded.append(out[..., 0]))
    bounds(wrong_posterior, examples(), Noise((1,)), num_samples=num_samples)
    one_row_to_tell_its_size = 1
    num_decoded = sum(rows.numel() for rows in decoded)
    assert num_decoded == num_samples * len(examples()) + one_row_to_tell_its_size


def test_4_2_nll_of_one_sample_is_minus_the_elbo_on_average_and_positive():
    """pythae, get_nll: +mean log p(x) under the name NLL."""
    model = replicas(linear_gaussian(wrong=1.0), 2000)
    computed = bounds(model, examples(), Noise(tuple(range(2000))), num_samples=1)
    exact = exact_elbo(model, examples().expand(2000, -1, -1))
    assert equal("nll", "one sample", (computed.nll + exact).mean(-1)).holds
    assert float(computed.nll.mean()) > 0


# ------------------------------------------------------------------ 4.3


def weighted_sum(t):
    weights = torch.softmax(t.log_w.detach(), 0)
    return -(weights * t.log_w).sum(0)


def test_4_3_pythae_iwae_reports_the_sum_of_weighted_log_weights():
    """pythae, IWAE, MIWAE and CIWAE: right gradient, and a value that is no bound."""
    t = arbitrary_terms()
    wide = dataclasses.replace(
        t,
        log_px_z=4.0 * normals(Noise((1, 2)), 50, 5, 1)[..., 0].double(),
        z=t.z[:1].expand(50, -1, -1, -1),
    )
    by_hand = [
        [-math.log(statistics.fmean(math.exp(v) for v in row)) for row in run]
        for run in wide.log_w.permute(1, 2, 0).tolist()
    ]
    torch.testing.assert_close(OBJECTIVES["iwae"](wide), torch.tensor(by_hand).double())
    assert ((OBJECTIVES["iwae"](wide) - weighted_sum(wide)) > 1.0).all()
    assert "the encoder's gradient is the derivative of the loss" in failures(weighted_sum)
    assert "same as iwae" in failures(weighted_sum, same_as=(SameAs("iwae"),))


@pytest.mark.parametrize("rows", [1, 2, 3, 7])
def test_4_3_a_metric_does_not_depend_on_the_size_of_batches(wrong_posterior, rows):
    """pythae averages the means of batches: a last short one weighs too much."""
    whole = bounds(wrong_posterior, examples(), Noise((1,)), num_samples=5)
    few = 200 * rows  # bytes: 200 hold one row of a few numbers in float64
    chunked = bounds(wrong_posterior, examples(), Noise((1,)), num_samples=5, max_bytes=few)
    torch.testing.assert_close(vars(chunked), vars(whole))


# ------------------------------------------------------------------ 4.4


def antixk_iwae(t):
    weights = torch.softmax(-t.log_w, 0)  # of a loss, which is positive
    return -(weights * t.log_w).sum(0)


def test_4_4_antixk_iwae_gives_the_worst_sample_the_largest_weight():
    """AntixK, IWAE and MIWAE: a lower bound and tight, so only identities and orderings tell."""
    losses = torch.tensor([1.0, 2.0, 5.0])
    assert torch.softmax(losses, 0).tolist() == pytest.approx([0.017, 0.047, 0.936], abs=1e-3)
    assert torch.softmax(-losses, 0).tolist() == pytest.approx([0.721, 0.265, 0.013], abs=1e-3)
    by_itself = failures(antixk_iwae, tight=True)
    assert by_itself == ["no looser with more samples, exact for discrete codes"]
    alpha_0 = SameAs("renyi", other_at={"alpha": 0.0})
    assert "same as renyi at alpha=0" in failures(antixk_iwae, tight=True, same_as=(alpha_0,))
    assert "no looser than elbo" in failures(antixk_iwae, tight=True, no_looser_than=("elbo",))
    assert holding("iwae", "same as renyi at alpha=0")
    assert holding("iwae", "no looser than elbo")


def test_4_4_antixk_iwae_has_the_analytic_kl_within_its_weights():
    def loss(t):
        return -densities.log_mean_exp(t.log_px_z - t.rate)

    assert "equals log p(x) at the true posterior" in failures(loss, tight=True)
    assert "same as iwae" in failures(loss, same_as=(SameAs("iwae"),))


def test_4_4_antixk_iwae_trains_its_weights():
    """The sum of w~ log w has the gradient of the bound only where w~ is stopped."""

    def loss(t):
        return -(torch.softmax(t.log_w, 0) * t.log_w).sum(0)

    both = {side: GradientOf("iwae") for side in ("encoder", "decoder")}
    failed = failures(loss, bound="none", gradient_of=both)
    for side in both:
        assert f"the {side}'s mean gradient is that of iwae" in failed


# ------------------------------------------------------------------ 4.5


def test_4_5_antixk_selects_on_another_weight_than_it_trains_with(tiny_npz):
    """AntixK: KL weight 0.00025 in training, 1 in validation. Here every variant has one grade."""
    configs = [
        tiny(tiny_npz, objective={"name": "beta_elbo", "beta": beta}, seed=1)
        for beta in (0.00025, 1.0)
    ]
    dataset = load(str(tiny_npz), "static")
    trained = train(configs, dataset, torch.device("cpu"))
    x, noise = dataset.observe("valid"), Noise((1, 1))
    computed = bounds(trained.model, x, noise, num_samples=3)
    terms = compute_terms(trained.model, x.expand(2, *x.shape), noise, num_samples=3)
    torch.testing.assert_close(computed.elbo, -OBJECTIVES["elbo"](terms))


def test_4_5_antixk_logs_the_kl_with_the_wrong_sign(tiny_npz):
    """AntixK#68. A rate is a KL, so never below 0, in curves as in grades."""
    assert "rate_nats" in CURVES
    trained = train([tiny(tiny_npz)], load(str(tiny_npz), "static"), torch.device("cpu"))
    assert min(trained.curves[0]["rate_nats"]) >= 0


# ------------------------------------------------------------------ 4.6


def test_4_6_tfp_dreg_gives_the_decoder_squared_weights():
    """tfp.vi: one surrogate for all variables, right for the encoder, wrong for a decoder."""

    def loss(t):
        squared = torch.softmax(t.log_w.detach(), 0).square()
        return -estimator(t, densities.log_mean_exp(t.log_w), decoder=squared, path=squared)

    both = {side: GradientOf("iwae") for side in ("encoder", "decoder")}
    failed = failures(loss, same_as=(SameAs("iwae"),), gradient_of=both)
    assert failed
    assert all("the decoder's" in fact for fact in failed)
    for side in both:
        assert holding("dreg", f"the {side}'s mean gradient is that of iwae")


# ------------------------------------------------------------------ 4.8


def test_4_8_a_bernoulli_takes_grey_data_silently():
    """Pyro's example switches validation off. Here it is refused, where the data do not say so."""
    grey = torch.tensor([[0.0, 0.5, 1.0]])
    with pytest.raises(InputError, match="'bernoulli' needs x in"):
        LIKELIHOODS["bernoulli"].check_support(Images(grey), "the data set")
    LIKELIHOODS["bernoulli"].check_support(Images(grey.round()), "the data set")
    LIKELIHOODS["continuous_bernoulli"].check_support(Images(grey), "the data set")


# ------------------------------------------------------------------ 4.9


def test_4_9_a_weight_is_silently_unused():
    """lightning-bolts#328, tsgm#69: the weight of the KL is an argument, and nothing else."""

    def loss(t, *, kl_coeff: float = 0.1):
        return t.distortion + t.rate

    assert failures(loss) == ["kl_coeff changes the loss or the step"]


def test_4_9_there_is_no_rate_at_all():
    """irmae#1. Such a loss must be declared to ignore a warm-up, and to be no bound."""
    failed = failures(lambda t: t.distortion)
    assert "a weight on the rate counts" in failed
    assert "lower bound on log p(x), with the true posterior" in failed
    assert OBJECTIVES["reconstruction_only"].ignores_rate
    assert OBJECTIVES["reconstruction_only"].bound == "none"


@pytest.mark.parametrize("entry", OBJECTIVES.values(), ids=lambda entry: entry.name)
def test_4_9_every_declared_hyperparameter_is_certified_to_count(entry):
    checked = [f.fact for f in conduct.check(entry) if f.fact.endswith("the loss or the step")]
    assert checked == [f"{name} changes the loss or the step" for name in entry.hyper]


# ------------------------------------------------------------------ 4.10

CASES = {
    "pythae": (lambda error: 0.5 * error.sum(-1), 1.0),
    "disentanglement_lib": (lambda error: error.sum(-1), 1 / 2),
    "disvae": (lambda error: (255.0**2 * error).sum(-1) / 255.0, 1 / 510),
    "AntixK": (lambda error: error.mean(-1), 5 / 2),
}
"""What each calls Gaussian or MSE, of squared errors [..., P], and its variance where P = 5."""


@pytest.mark.parametrize("system", CASES)
def test_4_10_one_name_has_many_scales(system):
    """Each is the Gaussian of one sigma, less a constant that only a density with a name keeps."""
    loss, variance = CASES[system]
    x, out = normals(Noise((1,)), 2, 7, 5)[:, 0].double()
    here = LIKELIHOODS["gaussian"].log_prob(x, out, sigma=math.sqrt(variance))
    constant = 0.5 * x.shape[-1] * math.log(2.0 * math.pi * variance)
    torch.testing.assert_close(-here, loss((x - out).square()) + constant)
    torch.testing.assert_close(here, Normal(out, math.sqrt(variance)).log_prob(x).sum(-1))


# ------------------------------------------------------------------ 4.11


def test_4_11_pythae_mmd_ignores_the_width_of_its_kernel():
    """pythae, InfoVAE and WAE: rbf_kernel does not read `scales`."""
    t = arbitrary_terms()

    def loss(t, *, lam: float = 10.0, width: float = 1.0):
        mmd = densities.squared_mmd(t.z, t.prior_z, lambda squared: torch.exp(-squared))
        return t.distortion + lam * mmd.mean(0)[:, None]

    failed = failures(loss, bound="none", of_batch=True, ignores_rate=True)
    assert failed == ["width changes the loss or the step"]
    for name in ("info_vae", "wae_mmd"):
        losses = [OBJECTIVES[name](t, width=width) for width in (0.5, 1.0, 2.0)]
        assert len({round(float(loss.sum()), 6) for loss in losses}) == 3


def test_4_11_one_name_for_the_capacity_of_an_example_and_of_the_batch():
    """pythae takes |KL - C| of each example, dlib of the batch: two objectives under one name."""
    t = arbitrary_terms()
    capacity = t.rate.mean(-1, keepdim=True)
    each, batch = (
        OBJECTIVES[name](t, capacity=capacity, gamma=3.0) - t.distortion
        for name in ("capacity_per_example", "capacity_of_batch")
    )
    torch.testing.assert_close(each, 3.0 * (t.rate - capacity).abs())
    torch.testing.assert_close(batch, torch.zeros_like(batch))
