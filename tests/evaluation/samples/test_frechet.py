"""The Frechet distance: closed forms, and intervals that cover."""

import math

import pytest
import torch

from tests.support.features import jackknife, normals
from vaebench.evaluation.samples.frechet import frechet, gaussian

F = 5


def with_moments(mean, covariance, num=40, seed=0):
    """Vectors whose sample mean and unbiased covariance are exactly the given ones."""
    rows = normals(num, len(mean), seed=seed)
    rows = rows - rows.mean(0)
    whitened = torch.linalg.solve_triangular(
        torch.linalg.cholesky(rows.T @ rows / (num - 1)), rows.T, upper=False
    )
    return (torch.linalg.cholesky(covariance) @ whitened).T + mean


def covariance(seed):
    root = normals(F, F, seed=seed)
    return root @ root.T + 0.1 * torch.eye(F)


# ------------------------------------------------------------------ Frechet


def test_frechet_distance_of_given_moments_in_one_dimension():
    """Between N(a, s^2) and N(b, t^2): (a - b)^2 + (s - t)^2."""
    real, ours = (
        with_moments(torch.tensor([m]).double(), torch.tensor([[s**2]]).double(), seed=int(s))
        for m, s in ((1.0, 2.0), (4.0, 7.0))
    )
    assert float(frechet(gaussian(real), ours[None]).value) == pytest.approx(9 + 25, rel=1e-12)


def test_frechet_distance_of_given_moments_is_the_closed_form():
    """Heusel et al. 2017, eq. 6, with scipy's square root of the product."""
    from scipy.linalg import sqrtm

    a, b = covariance(1), covariance(2)
    means = normals(2, F, seed=3)
    real, ours = with_moments(means[0], a), with_moments(means[1], b, num=70, seed=4)
    root = torch.from_numpy(sqrtm((a @ b).numpy()).real)
    expected = (means[0] - means[1]).square().sum() + torch.trace(a + b - 2 * root)
    computed = float(frechet(gaussian(real), ours[None]).value)
    assert computed == pytest.approx(float(expected), rel=1e-10)


@pytest.mark.parametrize("num", [3, 200])
def test_equal_features_have_no_distance(num):
    """Also where there are fewer of them than dimensions."""
    x = normals(num, F, seed=5)
    computed = frechet(gaussian(x), x[None])
    assert float(computed.value) == pytest.approx(0.0, abs=1e-6)
    assert float(computed.low) >= 0


def test_runs_do_not_mix_and_order_does_not_matter():
    real, ours = (
        normals(50, F),
        normals(3, 60, F, seed=1) * torch.tensor([1.0, 2.0, 0.5])[:, None, None],
    )
    stacked = frechet(gaussian(real), ours)
    for run in range(3):
        alone = frechet(gaussian(real), ours[run : run + 1].flip(1))
        for name in ("value", "low", "high"):
            torch.testing.assert_close(getattr(alone, name), getattr(stacked, name)[run : run + 1])
    back = frechet(gaussian(ours[1]), real[None])
    torch.testing.assert_close(back.value, stacked.value[1:2])
    torch.testing.assert_close(back.high, stacked.high[1:2])


@pytest.mark.parametrize("constant", [True, False])
def test_constant_features_are_defined(constant):
    """All of a set in one point m: |m - mean|^2 + tr(C)."""
    real, point = normals(50, F), torch.arange(F).double()
    one = point.expand(1, 30, F)
    expected = (real.mean(0) - point).square().sum() + torch.trace(real.T.cov())
    computed = frechet(gaussian(real), one) if constant else frechet(gaussian(one[0]), real[None])
    torch.testing.assert_close(computed.value[0], expected)
    assert bool(torch.isfinite(torch.cat([computed.low, computed.high])).all())


def test_frechet_interval_is_that_of_the_jackknife():
    """The linear part, by formula, beside each of 300 + 400 images left out."""
    real, ours = normals(300, F), 1.3 * normals(400, F, seed=1) + 0.4
    computed = frechet(gaussian(real), ours[None])
    margin = float(computed.high - computed.value)

    def distance(a, b):
        return frechet(gaussian(a), b[None]).value[0]

    expected = 1.96 * math.sqrt(jackknife(distance, real, ours))
    assert margin == pytest.approx(expected, rel=0.05)


def test_frechet_interval_covers_the_mean_of_its_value():
    """Over 400 pairs of sets: 95%, with a standard error of 1.1%; 3% less for its linearity."""
    computed = [
        frechet(gaussian(normals(200, F, seed=2 * i)), 1.5 * normals(1, 300, F, seed=2 * i + 1))
        for i in range(400)
    ]
    centre = torch.cat([f.value for f in computed]).mean()
    covered = torch.cat([(f.low <= centre) & (centre <= f.high) for f in computed])
    assert 0.89 < float(covered.double().mean()) < 0.985


def test_frechet_distance_is_biased_upward_by_few_images():
    """Equal distributions are at distance 0; samples of 50 images from each are far above."""
    values = [
        float(
            frechet(gaussian(normals(50, F, seed=2 * i)), normals(1, 50, F, seed=2 * i + 1)).value
        )
        for i in range(20)
    ]
    assert min(values) > 0.1
