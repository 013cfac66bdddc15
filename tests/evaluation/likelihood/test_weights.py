"""Trust in importance weights: k-hat of laws whose tail is known, ESS by its formula, doubts."""

import math

import pytest
import torch

from tests.support.families import within_error
from vaebench.core.errors import InputError
from vaebench.diagnostics.certify import linear_gaussian
from vaebench.diagnostics.certify.exact.linear_gaussian import beside, examples, replicas
from vaebench.evaluation.likelihood.bounds import bounds
from vaebench.evaluation.likelihood.held_out import doubts
from vaebench.evaluation.likelihood.weights import (
    Weights,
    khat,
    khat_threshold,
    pareto_shape,
    tail_size,
)
from vaebench.models.terms import compute_terms
from vaebench.ops.noise import Noise, normals, uniforms

S, B = 2, 5
SHAPES = [-0.4, 0.1, 0.5, 0.9, 1.5]


def uniform(num, rows, key=1):
    """In the open (0, 1): [num, rows], float64."""
    return uniforms(Noise((key,)), num, rows)[0].double().clamp(1e-9, 1 - 1e-9)


def kept(log_w, chunk):
    """Weights that came in chunks."""
    computed = Weights.before(torch.zeros(log_w.shape[1:], dtype=torch.float64), len(log_w))
    for part in log_w.split(chunk):
        computed = computed.after(part)
    return computed


def log_weights(num, spread=1.5, key=3):
    return spread * normals(Noise((key,) * S), num, B, 1)[..., 0]


# ------------------------------------------------------------------ the shape of a tail


@pytest.mark.parametrize("k", SHAPES)
def test_the_shape_of_a_generalised_pareto_law_is_found(k):
    """300 samples of 1000 each, to 4.5 standard errors; a fit's bias is a fifth of its own."""
    x = torch.expm1(-k * torch.log1p(-uniform(1000, 300))) / k
    computed = pareto_shape(x.sort(0, descending=True).values)
    assert within_error(computed, k)
    assert computed.std() == pytest.approx((1 + k) / math.sqrt(1000), rel=0.2) or k < 0


@pytest.mark.parametrize("k", [0.1, 0.5, 0.9])
def test_khat_of_pareto_weights_is_their_shape_drawn_to_a_half(k):
    """Above any weight, w = u^-k has a generalised Pareto tail of the shape k."""
    num = 2000
    log_w = -k * uniform(num, 500).log()
    size = tail_size(num)
    computed = khat(kept(log_w[:, None], 300).largest())[0]
    assert within_error(computed, (size * k + 10 * 0.5) / (size + 10))


@pytest.mark.parametrize("k", [0.2, 0.7])
def test_khat_is_that_of_pyro(k):
    stats = pytest.importorskip("pyro.ops.stats", reason="pyro is not installed")
    log_w = -k * uniform(2000, B).log()
    largest = kept(log_w[:, None], 2000).largest()
    excess = (largest.exp()[:-1] - largest.exp()[-1:])[:, 0]
    expected = [stats.fit_generalized_pareto(x)[0] for x in excess.T]
    torch.testing.assert_close(khat(largest)[0], torch.tensor(expected, dtype=torch.float64))


def test_khat_does_not_know_the_scale_of_the_weights():
    log_w = log_weights(400).double()
    far = khat(kept(log_w + 700, 400).largest())
    torch.testing.assert_close(khat(kept(log_w - 700, 400).largest()), far)


def test_float32_is_enough():
    log_w = log_weights(1000)
    torch.testing.assert_close(
        khat(kept(log_w - 90, 1000).largest()).double(),
        khat(kept(log_w.double(), 1000).largest()),
        rtol=0,
        atol=2e-3,
    )


def test_equal_weights_have_no_tail_and_tied_ones_have_a_shape():
    equal = torch.full((100, 1, 3), -80.0) + 1e-5 * torch.rand(100, 1, 3)
    assert (khat(kept(equal, 100).largest()) == -math.inf).all()
    two = torch.where(torch.arange(100)[:, None, None] < 3, 2.0, 0.0).expand(100, 1, 3)
    assert khat(kept(two, 100).largest()).isfinite().all()


def test_one_weight_that_holds_everything_has_a_high_khat():
    log_w = log_weights(200)
    log_w[17] += 60
    assert (khat(kept(log_w, 200).largest()) > 1).all()


@pytest.mark.parametrize(
    ("num", "size"), [(1, 0), (24, 0), (25, 5), (100, 20), (225, 45), (5000, 212)]
)
def test_the_tail_is_a_fifth_or_three_roots(num, size):
    assert tail_size(num) == size
    kept_weights = kept(torch.rand(num, S, B), num)
    assert khat(kept_weights.largest()).shape == (S, B if size else 0)


def test_the_threshold_rises_with_the_samples_to_seven_tenths():
    computed = [khat_threshold(num) for num in (100, 1000, 2200, 10**6)]
    assert computed == pytest.approx([0.5, 1 - 1 / 3, 0.7, 0.7])


# ------------------------------------------------------------------ chunk by chunk


@pytest.mark.parametrize("num", [30, 400])
@pytest.mark.parametrize("chunk", [1, 7, 100])
def test_chunks_do_not_show(num, chunk):
    log_w = log_weights(num).double()
    whole, chunked = kept(log_w, num), kept(log_w, chunk)
    expected = log_w.sort(0, descending=True).values[: tail_size(num) + 1]
    torch.testing.assert_close(whole.largest(), expected, rtol=0, atol=0)
    torch.testing.assert_close(chunked.largest(), expected, rtol=0, atol=0)
    torch.testing.assert_close(chunked.ess(num), whole.ess(num))


def test_what_is_kept_does_not_grow_with_the_samples():
    computed = kept(log_weights(3000), 10)
    assert sum(map(len, computed.tail)) <= 6 * (tail_size(3000) + 1)


def test_ess_is_its_formula():
    log_w = log_weights(50).double()
    w = log_w.exp()
    expected = w.sum(0).square() / w.square().sum(0) / 50
    torch.testing.assert_close(kept(log_w, 9).ess(50), expected)


def test_ess_is_one_of_equal_weights_and_a_sample_of_one_that_holds_everything():
    assert kept(torch.full((8, 1, 1), -500.0), 3).ess(8).item() == pytest.approx(1.0)
    log_w = torch.zeros(8, 1, 1)
    log_w[3] = 400
    assert kept(log_w, 3).ess(8).item() == pytest.approx(1 / 8)


# ------------------------------------------------------------------ within the bounds


def test_bounds_tell_a_wrong_posterior_from_the_true_one():
    both = beside(linear_gaussian(wrong=0.0), linear_gaussian(wrong=1.0))
    computed = bounds(both, examples(), Noise((1, 2)), num_samples=200)
    assert computed.ess.shape == computed.khat.shape == computed.nll.shape
    torch.testing.assert_close(computed.ess[0], torch.ones_like(computed.ess[0]))
    assert (computed.khat[0] == -math.inf).all()
    assert (computed.ess[1] < 0.95).all()
    assert computed.khat[1].isfinite().all()


def test_fields_of_bounds_are_those_of_the_log_weights_by_hand():
    model, noise = replicas(linear_gaussian(wrong=1.0), 2), Noise((1, 2))
    x = examples().expand(2, -1, -1)
    computed = bounds(model, examples(), noise, num_samples=60)
    log_w = compute_terms(model, x, noise, num_samples=60, wanted="log_qz_x").log_w
    torch.testing.assert_close(computed.mean_log_w, log_w.mean(0))
    torch.testing.assert_close(
        computed.ess, torch.softmax(log_w, 0).square().sum(0).reciprocal() / 60
    )
    torch.testing.assert_close(computed.khat, khat(log_w.sort(0, descending=True).values[:13]))
    assert computed.mean_log_w.mean() < -computed.nll.mean()


def test_chunks_of_bounds_do_not_show_in_khat():
    model = replicas(linear_gaussian(wrong=1.0), 2)
    whole = bounds(model, examples(), Noise((1, 2)), num_samples=200)
    chunked = bounds(model, examples(), Noise((1, 2)), num_samples=200, max_bytes=2000)
    torch.testing.assert_close(vars(chunked), vars(whole), rtol=1e-9, atol=1e-9)


def with_output(model, change):
    """The same model, log p(x|z) changed."""
    log_px_z = model.log_px_z
    model.log_px_z = lambda x, z: change(log_px_z(x, z))
    return model


def test_nan_of_one_run_leaves_the_others():
    model = beside(linear_gaussian(wrong=1.0), linear_gaussian(wrong=1.0))
    expected = bounds(model, examples(), Noise((1, 2)), num_samples=50)
    model.decoder.weight[1] = math.nan
    computed = bounds(model, examples(), Noise((1, 2)), num_samples=50)
    for name, values in vars(computed).items():
        torch.testing.assert_close(values[0], getattr(expected, name)[0])
        assert values[1].isnan().all() or name == "rate"


def test_a_wrong_shape_is_named():
    summed = with_output(linear_gaussian(wrong=0.0), lambda log_px_z: log_px_z.mean(0))
    with pytest.raises(InputError, match=r"one number for each sample, run and example, \(1, 1, 1"):
        bounds(summed, examples(), Noise((1,)), num_samples=5)


def test_a_probability_above_one_is_named():
    from tests.support.families import P, model_of

    x = (uniforms(Noise((8,)), 4, P)[0] < 0.4).double()
    noise = Noise((1, 2, 3))
    right = model_of("diagonal_gaussian", "standard_normal")
    bounds(right, x, noise, num_samples=3)
    negated = with_output(right, lambda log_px_z: -log_px_z)
    with pytest.raises(InputError, match="'bernoulli' is a probability of discrete data, so log"):
        bounds(negated, x, noise, num_samples=3)


# ------------------------------------------------------------------ doubts


def test_a_doubt_names_the_share_beyond_the_threshold():
    khats = torch.full((3, 50), 0.3)
    khats[1, :6] = 0.71
    khats[2, :2] = 0.71
    many = torch.full((3, 50), 0.5)
    assert doubts(khats, many, 5000) == ("", "k-hat above 0.70 for 12% of the examples", "")
    assert doubts(khats[:, :0], many, 24) == ("", "", "")
    assert doubts(khats + 0.21, many, 100)[0] == "k-hat above 0.50 for 100% of the examples"
    assert doubts(torch.full((1, 50), math.nan), many[:1], 100) == ("",)


def test_few_effective_samples_are_doubted_whatever_k_is():
    """5 of 24 samples are enough, 4.8 are not; 2 of 50 examples are few."""
    shares = torch.full((3, 50), 0.21)
    shares[1, :6] = 0.2
    shares[2, :2] = 0.2
    few = "fewer than 5 effective samples for 12% of the examples"
    assert doubts(torch.empty(3, 0), shares, 24) == ("", few, "")
    high = torch.full((3, 50), 0.9)
    assert doubts(high, shares, 24)[1] == f"k-hat above 0.28 for 100% of the examples; {few}"
