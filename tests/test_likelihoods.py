"""Conformance over the likelihoods: constants, supports, one parameter per run."""

import pytest
import torch
from torch.distributions import Bernoulli, Independent, Normal

from vaebench.errors import InputError
from vaebench.likelihoods import LIKELIHOODS

K, S, B, P = 3, 2, 4, 5
EACH = pytest.mark.parametrize("entry", LIKELIHOODS.values(), ids=lambda entry: entry.name)


def draw(entry):
    generator = torch.Generator().manual_seed(0)
    out = torch.randn((K, S, B, P), generator=generator, dtype=torch.float64)
    x = torch.rand((S, B, P), generator=generator, dtype=torch.float64)
    return (x < 0.5).double() if entry.measure == "mass" else x, out


def parameters(entry, value=0.4):
    return dict.fromkeys([*entry.hyper, *entry.learned], value)


@EACH
def test_log_prob_is_that_of_torch_distributions(entry):
    x, out = draw(entry)
    reference = {
        "bernoulli": lambda: Bernoulli(logits=out),
        "gaussian": lambda: Normal(out, 0.4),
        "gaussian_learned": lambda: Normal(out, torch.tensor(0.4).double().exp()),
    }[entry.name]()
    expected = Independent(reference, 1).log_prob(x.expand_as(out))
    torch.testing.assert_close(entry.log_prob(x, out, **parameters(entry)), expected)


@EACH
def test_sums_to_one_over_the_support(entry):
    """One pixel: a sum over {0, 1}, or an integral over a wide grid."""
    out = torch.tensor([[[[0.3]]]], dtype=torch.float64)
    x = torch.linspace(-20, 20, 20_001, dtype=torch.float64)
    x = torch.tensor([0.0, 1.0]).double() if entry.measure == "mass" else x
    log_prob = entry.log_prob(x.view(1, -1, 1), out.expand(1, 1, len(x), 1), **parameters(entry))
    p = log_prob.exp().flatten()
    total = p.sum() if entry.measure == "mass" else torch.trapezoid(p, x)
    assert float(total) == pytest.approx(1.0, abs=1e-6)


@EACH
def test_one_parameter_per_run(entry):
    x, out = draw(entry)
    values = torch.tensor([[0.4], [0.9]], dtype=torch.float64)
    stacked = entry.log_prob(x, out, **parameters(entry, values))
    for run in range(S):
        alone = entry.log_prob(x, out, **parameters(entry, float(values[run])))
        torch.testing.assert_close(stacked[:, run], alone[:, run])


@EACH
def test_mean_is_the_mean(entry):
    _, out = draw(entry)
    expected = out.sigmoid() if entry.measure == "mass" else out
    torch.testing.assert_close(entry.mean(out), expected)


def test_bernoulli_refuses_grey_data():
    grey = torch.tensor([0.0, 0.5, 1.0])
    with pytest.raises(InputError, match=r"'bernoulli' needs x in {0, 1}; digits .* binarisation"):
        LIKELIHOODS["bernoulli"].check_support(grey, "digits")
    LIKELIHOODS["gaussian"].check_support(grey, "digits")
