"""Conformance over the likelihoods: constants, normalisation, means, runs, supports, gradients."""

import math

import pytest
import torch
from torch.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    ContinuousBernoulli,
    Laplace,
    NegativeBinomial,
    Normal,
    Poisson,
    StudentT,
)

from tests.support.likelihoods import parameters, quadrature
from vaebench.core.errors import InputError
from vaebench.data import Images
from vaebench.models.likelihoods import (
    BINARY,
    COUNTS,
    EIGHT_BIT,
    LIKELIHOODS,
    OPEN_UNIT,
    REAL,
    UNIT,
    Likelihood,
    Support,
    likelihood,
)
from vaebench.models.likelihoods.real import optimal_log_sigma

K, S, B, P = 3, 2, 4, 5
ENTRIES = tuple(LIKELIHOODS.values())
EACH = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)


def draw(entry, scale=1.0):
    """x from the support, random decoder outputs; float64."""
    generator = torch.Generator().manual_seed(0)
    shape = (K, S, B, entry.outputs_per_pixel * P)
    out = scale * torch.randn(shape, generator=generator, dtype=torch.float64)
    if entry.support.values:
        values = torch.tensor(entry.support.values, dtype=torch.float64)
        return values[torch.randint(len(values), (S, B, P), generator=generator)], out
    u = torch.rand((S, B, P), generator=generator, dtype=torch.float64)
    return (u if entry.support.interval == (0.0, 1.0) else 4.0 * u - 2.0), out


def positive(raw, low):
    return low + torch.log1p(torch.exp(raw - low))


def logistic_masses(loc, raw):
    """[..., 256, P], from the definition; each difference in the tail where it keeps its digits."""
    edges = (torch.arange(257, dtype=torch.float64) - 0.5).unsqueeze(-1) / 255
    edges[0], edges[-1] = -math.inf, math.inf
    scale = positive(raw, -7.7).exp().unsqueeze(-2)
    t = (edges - loc.unsqueeze(-2)) / scale
    below, above = t.sigmoid().diff(dim=-2), -(-t).sigmoid().diff(dim=-2)
    return torch.where(t[..., 1:, :] < 0, below, above)


def mixture_masses(out):
    parts = out.chunk(15, dim=-1)
    weights = torch.stack(parts[:5]).softmax(0).unsqueeze(-2)
    masses = [logistic_masses(m, s) for m, s in zip(parts[5:10], parts[10:], strict=True)]
    return (weights * torch.stack(masses)).sum(0)


def over_levels(masses):
    """[..., 256, P] -> something with the log_prob of levels."""
    return Categorical(logits=masses.transpose(-1, -2).log())


def counted(out):
    """The negative binomial of the first two outputs, by number of failures and logits."""
    log_mean, raw = out.chunk(out.shape[-1] // P, -1)[:2]
    log_size = 20.0 - positive(20.0 - positive(raw, -5.0), 0.0)
    return NegativeBinomial(log_size.exp(), logits=log_mean - log_size)


class Inflated:
    """A mixture of the negative binomial and of zeros, by the shares of both."""

    def __init__(self, out):
        self.law, self.logits = counted(out), out.chunk(3, -1)[2]

    def log_prob(self, x):
        zero = torch.where(x == 0, self.logits.sigmoid().log(), -math.inf)
        return torch.logaddexp((-self.logits).sigmoid().log() + self.law.log_prob(x), zero)


class Summed:
    """A law of pixels as one of images."""

    def __init__(self, law):
        self.law = law

    def log_prob(self, x):
        return self.law.log_prob(x).sum(-1)


REFERENCES = {
    "poisson": lambda out: Poisson(out.exp()),
    "negative_binomial": counted,
    "zero_inflated_negative_binomial": Inflated,
    "student_t": lambda out: StudentT(
        5.0, out.chunk(2, -1)[0], positive(out.chunk(2, -1)[1], -6.0).exp()
    ),
    "bernoulli": lambda out: Bernoulli(logits=out),
    "continuous_bernoulli": lambda out: ContinuousBernoulli(logits=out),
    "gaussian": lambda out: Normal(out, 0.4),
    "gaussian_learned": lambda out: Normal(out, math.exp(0.4)),
    "gaussian_optimal": lambda out: Normal(out, math.exp(0.4)),
    "gaussian_per_pixel": lambda out: Normal(
        out.chunk(2, -1)[0], positive(out.chunk(2, -1)[1], -6.0).exp()
    ),
    "laplace": lambda out: Laplace(out, 0.4),
    "beta": lambda out: Beta(*positive(out, 0.1).chunk(2, -1)),
    "discretised_logistic": lambda out: over_levels(logistic_masses(*out.chunk(2, -1))),
    "discretised_logistic_mixture": lambda out: over_levels(mixture_masses(out)),
    "categorical": lambda out: over_levels(out.unflatten(-1, (256, P)).softmax(-2)),
}


@EACH
def test_log_prob_is_that_of_the_reference(entry):
    """torch.distributions, or the definition; near lambda = 1/2 torch's constant is a series."""
    x, out = draw(entry)
    reference = Summed(REFERENCES[entry.name](out))
    value = (255 * x).round() if entry.support is EIGHT_BIT else x
    expected = reference.log_prob(value.expand(K, S, B, P))
    computed = entry.log_prob(x, out, **parameters(entry))
    assert computed.shape == (K, S, B)
    torch.testing.assert_close(computed, expected, rtol=1e-7, atol=1e-7)


def one_pixel(entry, numbers):
    """Decoder output [1, 1, 1, n]: the two numbers, or random ones of their size where n > 2."""
    n = entry.outputs_per_pixel
    if n <= 2:
        return torch.tensor(numbers[:n], dtype=torch.float64).view(1, 1, 1, n)
    generator = torch.Generator().manual_seed(1)
    return numbers[0] * torch.randn((1, 1, 1, n), generator=generator, dtype=torch.float64)


OUTPUTS = [(0.3, 0.5), (0.0, 0.0), (-30.0, 3.0), (5.0, 10.0), (200.0, 0.1), (0.4, -30.0)]
PIXELS = [
    pytest.param(entry, numbers, id=f"{entry.name}-{numbers}")
    for entry in ENTRIES
    for numbers in OUTPUTS
    # Such a beta law has mass closer to 1 than any float64; such counts have no list.
    if not (entry.name == "beta" and numbers[1] < 0)
    if not (entry.support is COUNTS and numbers[0] > 10)
]


@pytest.mark.parametrize(("entry", "numbers"), PIXELS)
def test_probabilities_sum_to_one_and_have_the_declared_mean(entry, numbers):
    out = one_pixel(entry, numbers)
    mean = entry.mean(out)
    assert mean.shape == (1, 1, 1, 1)
    x, weights = quadrature(entry.support, mean.item())
    rows = out.expand(1, 1, len(x), -1)
    p = weights * entry.log_prob(x.view(1, -1, 1), rows, **parameters(entry)).exp().flatten()
    assert float(p.sum()) == pytest.approx(1.0, abs=1e-6)
    assert float((p * (x - mean.item())).sum()) == pytest.approx(0.0, abs=1e-6)


@EACH
def test_pixels_add(entry):
    """A mean over pixels, or a pixel that reads its neighbour's outputs, would not."""
    x, out = draw(entry)
    each = out.unflatten(-1, (entry.outputs_per_pixel, P)).unbind(-1)
    alone = [entry.log_prob(x[..., [p]], o, **parameters(entry)) for p, o in enumerate(each)]
    torch.testing.assert_close(entry.log_prob(x, out, **parameters(entry)), sum(alone))
    means = torch.cat([entry.mean(o) for o in each], -1)
    torch.testing.assert_close(entry.mean(out), means)


@EACH
def test_one_parameter_per_run(entry):
    x, out = draw(entry)
    values = torch.tensor([[0.4], [0.9]], dtype=torch.float64)
    stacked = entry.log_prob(x, out, **parameters(entry, values))
    for run in range(S):
        alone = entry.log_prob(x, out, **parameters(entry, float(values[run])))
        torch.testing.assert_close(stacked[:, run], alone[:, run])


@EACH
@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0])
def test_float32_is_close_to_float64(entry, scale):
    x, out = (tensor.float() for tensor in draw(entry, scale))
    x = x if entry.support.values else x.clamp(1e-6, 1 - 1e-6)
    computed = entry.log_prob(x, out, **parameters(entry))
    assert computed.dtype == torch.float32
    exact = entry.log_prob(x.double(), out.double(), **parameters(entry))
    torch.testing.assert_close(computed.double(), exact, rtol=1e-4, atol=1e-3)


ENDS = {
    BINARY: (0.0, 1.0),
    EIGHT_BIT: (0.0, 1 / 255, 0.5019608, 1.0),
    COUNTS: (0.0, 1.0, 7.0, 16_777_216.0),
    UNIT: (0.0, 0.3, 1.0),
    OPEN_UNIT: (2.0**-33, 0.3, 1 - 2.0**-24),  # what dequantised images hold
    REAL: (-100.0, 0.0, 100.0),
}


@EACH
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_finite_at_extremes(entry, dtype):
    extremes = torch.tensor([-1e4, -50.0, 0.0, 50.0, 1e4], dtype=dtype)
    values = torch.tensor(ENDS[entry.support], dtype=dtype)
    n, rows = entry.outputs_per_pixel, 200
    generator = torch.Generator().manual_seed(0)
    out = extremes[torch.randint(5, (1, 1, rows, n), generator=generator)].requires_grad_()
    x = values[torch.randint(len(values), (1, rows, 1), generator=generator)]
    log_prob = entry.log_prob(x, out, **parameters(entry))
    (gradient,) = torch.autograd.grad(log_prob.sum(), out)
    assert torch.isfinite(log_prob).all()
    assert torch.isfinite(gradient).all()


@EACH
@pytest.mark.parametrize("scale", [0.0, 1e-3, 1.0, 20.0])
def test_gradients_are_those_of_differences(entry, scale):
    """By autograd and numerically, for the outputs and the parameters; scale 0: at the centre."""
    x, out = draw(entry, scale)
    out = out[:2, :, :2].clone().requires_grad_()
    values = torch.tensor([[0.4], [0.9]], dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(
        lambda o, v: entry.log_prob(x[:, :2], o, **parameters(entry, v)),
        (out, values),
        fast_mode=True,
    )


OUTSIDE = {
    BINARY: (0.5, "x in {0, 1}; digits has other values: choose a binarisation"),
    COUNTS: (0.5, "x in {0, 1, 2, ...}; digits has other values: store whole numbers from 0"),
    EIGHT_BIT: (0.5, "x on the 256 levels k/255; digits has other values: store images as uint8"),
    UNIT: (1.001, "x in [0, 1]; digits has other values: scale the intensities"),
    OPEN_UNIT: (0.0, "x in (0, 1), the ends excluded; digits has other values: dequantise"),
    REAL: (math.inf, "x real; digits has other values: remove the images with NaN"),
}


@EACH
@pytest.mark.parametrize("value", ["outside", "nan"])
def test_the_support_is_checked_and_the_error_says_what_to_do(entry, value):
    x, _ = draw(entry)
    entry.check_support(Images(x.float()), "digits")
    outside, message = OUTSIDE[entry.support]
    x[0, 1, 2] = outside if value == "outside" else math.nan
    with pytest.raises(InputError) as error:
        entry.check_support(Images(x.float()), "digits")
    assert f"{entry.name!r} needs {message}" in str(error.value)


@EACH
def test_facts_fit_together(entry):
    assert (entry.measure == "mass") == (entry.support.values is not None)
    assert (entry.support.values is None) != (entry.support.interval is None)
    assert not {*entry.hyper} & {*entry.learned, *entry.fitted}
    assert entry.name in REFERENCES


@pytest.mark.parametrize("entry", [e for e in ENTRIES if e.fitted], ids=lambda e: e.name)
def test_fitted_parameters_are_the_best_for_each_run_alone(entry):
    x, out = draw(entry)
    out = out * torch.tensor([1.0, 0.2]).view(1, S, 1, 1)
    values = {name: fit(x, out) for name, fit in entry.fitted.items()}
    best = entry.log_prob(x, out, **values).mean((0, 2))
    for name, value in values.items():
        assert value.shape == (S, 1)
        for run in range(S):
            alone = entry.fitted[name](x[[run]], out[:, [run]])
            torch.testing.assert_close(value[[run]], alone)
        for step in (-0.01, 0.01):
            moved = entry.log_prob(x, out, **{**values, name: value + step}).mean((0, 2))
            assert (moved < best).all()


def test_optimal_sigma_is_the_root_mean_squared_residual_and_passes_gradients():
    x, out = draw(LIKELIHOODS["gaussian_optimal"])
    out.requires_grad_()
    log_sigma = optimal_log_sigma(x, out)
    expected = (x - out)[:, 1].square().mean().sqrt().log()
    torch.testing.assert_close(log_sigma[1, 0], expected)
    log_sigma.sum().backward()
    assert (out.grad != 0).all()
    assert optimal_log_sigma(x, x.expand(K, S, B, P)).exp().tolist() == [
        [pytest.approx(0.001)],
        [pytest.approx(0.001)],
    ]


def ours(x, out, *, scale=1.0):
    """A likelihood that is never registered."""
    return out


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"measure": "masses"}, "measure must be one of"),
        ({"outputs_per_pixel": 0}, "outputs_per_pixel must be at least 1; got 0"),
        ({"learned": {"scael": 1.0}}, "no parameter 'scael' to learn or fit; did you mean 'scale'"),
        ({"fitted": {"sigma": ours}}, "no parameter 'sigma' to learn or fit"),
        ({"learned": {"scale": 1.0}, "fitted": {"scale": ours}}, "learned and fitted"),
    ],
)
def test_declarations_that_do_not_fit_are_refused(facts, message):
    declared = {"source": "", "measure": "density", "support": REAL, "mean": ours, **facts}
    with pytest.raises(InputError, match=message):
        likelihood(**declared)(ours)
    assert "ours" not in LIKELIHOODS


def test_parameters_come_after_a_star():
    def loose(x, out, scale):
        return out

    with pytest.raises(InputError, match="parameters come after a"):
        likelihood(source="", measure="density", support=REAL, mean=ours)(loose)


def test_a_support_needs_only_its_test():
    entry = Likelihood("mine", ours, "", "density", Support("x = 1", lambda x: False), ours)
    with pytest.raises(InputError, match="x has other values: choose another likelihood"):
        entry.check_support(Images(torch.zeros(1, 1)), "x")
    assert [*entry.hyper] == ["scale"]
