"""Bounds on log p(x): exact at the true posterior, in their order at a wrong one."""

import pytest
import torch

from vaebench.diagnostics.certify.exact.linear_gaussian import exact_log_px
from vaebench.evaluation.likelihood.bounds import bounds
from vaebench.ops.noise import Noise, normals

N = 23


@pytest.fixture
def x(true_posterior):
    return normals(Noise((3,)), 1, N, true_posterior.decoder.weight.shape[-1])[0, 0].double()


def test_all_bounds_are_exact_at_the_true_posterior(true_posterior, x):
    computed = bounds(true_posterior, x, Noise((1,)), num_samples=7)
    torch.testing.assert_close(-computed.nll[0], exact_log_px(true_posterior, x))
    torch.testing.assert_close(computed.elbo, -computed.distortion - computed.rate)


def test_bounds_order_at_a_wrong_posterior(wrong_posterior, x):
    one = bounds(wrong_posterior, x, Noise((1,)), num_samples=1)
    many = bounds(wrong_posterior, x, Noise((1,)), num_samples=2000)
    exact = exact_log_px(wrong_posterior, x).mean()
    assert float(many.elbo.mean()) < float(-many.nll.mean()) < float(exact) + 0.02
    assert float(exact + many.nll.mean()) < 0.1
    assert float(one.nll.mean()) > float(many.nll.mean())
