"""The derivation of the ELBO: each equation holds, and would not if it were written wrongly."""

import math

import pytest

from vaebench.diagnostics.certify import derivation
from vaebench.diagnostics.certify.derivation import _Numbers
from vaebench.diagnostics.certify.exact import linear_gaussian as gaussian


@pytest.fixture(scope="module")
def steps():
    return derivation()


@pytest.fixture(scope="module")
def numbers():
    return _Numbers(gaussian.linear_gaussian(wrong=1.0))


def test_every_equation_holds(steps):
    assert all(step.holds for step in steps)
    assert max(step.difference for step in steps) < 1e-11


def test_it_goes_from_bayes_rule_to_the_loss_and_the_closed_gap(steps):
    first, *_, last = steps
    assert first.equation == "p(z|x) = p(x|z) p(z) / p(x)"
    central = "log p(x) - KL[q(z|x) || p(z|x)] = E_q[log p(x|z)] - KL[q(z|x) || p(z)] = ELBO"
    (elbo,) = (step for step in steps if step.equation == central)
    (loss,) = (step for step in steps if step.equation.startswith("loss (elbo) = -ELBO"))
    assert loss.left == pytest.approx(-elbo.right)
    assert last.equation.endswith("ELBO = log p(x)")
    assert last.left > elbo.right + 0.1, "q is not the posterior, so the ELBO is below log p(x)"


def test_the_closed_forms_are_those_of_quadrature(numbers):
    """Each expectation by its formula, and by points that are exact for quadratics."""
    q, z = numbers.q, numbers
    assert z.expected_log_q == pytest.approx(z.expected(q.log_prob))
    assert z.expected_log_px_z == pytest.approx(z.expected(z.log_px_z))
    assert z.expected_log_pz == pytest.approx(z.expected(z.log_pz))
    assert z.kl_to_prior == pytest.approx(z.expected_log_q - z.expected_log_pz)
    for one, other in zip(
        (z.conditioned.mean, z.conditioned.covariance_matrix),
        (z.by_precisions.mean, z.by_precisions.covariance_matrix),
        strict=True,
    ):
        assert (one - other).abs().max() < 1e-12


def test_a_wrong_equation_would_not_hold(numbers, steps):
    """With the KL against p(z|x) where p(z) is meant, or with its sign turned."""
    left = numbers.log_px - numbers.kl_to_posterior
    assert abs(numbers.expected_log_px_z - numbers.kl_to_posterior - left) > 0.1
    assert abs(numbers.expected_log_px_z + numbers.kl_to_prior - left) > 0.1
    assert abs(numbers.log_px - left) > 0.1


@pytest.mark.parametrize("factor", [1.001, math.nan])
def test_a_wrong_objective_is_seen(monkeypatch, factor):
    """The loss is that of the registered function, not a formula of this module."""
    from vaebench.objectives import OBJECTIVES, Objective

    right = OBJECTIVES["elbo"]
    wrong = Objective("elbo", lambda t: factor * right.loss(t), "", "lower")
    monkeypatch.setitem(OBJECTIVES._entries, "elbo", wrong)
    failing = [step.equation for step in derivation() if not step.holds]
    assert len(failing) == 2
    assert failing[0].startswith("loss (elbo) = -ELBO")
