"""The kernel distance: its definition, no bias, an interval that covers."""

import itertools
import math

import pytest
import torch

from tests.support.features import jackknife, normals
from vaebench.evaluation.samples.kernel_distance import kernels_of, kid

F = 5


def kid_of(real, ours):
    return kid(kernels_of(real), kernels_of(ours))


def by_definition(real, ours):
    """Gretton et al. 2012, lemma 6, pair by pair."""

    def k(x, y):
        return (float(x @ y) / len(x) + 1) ** 3

    def within(rows):
        pairs = list(itertools.permutations(range(len(rows)), 2))
        return sum(k(rows[i], rows[j]) for i, j in pairs) / len(pairs)

    across = sum(k(x, y) for x in real for y in ours) / (len(real) * len(ours))
    return within(real) + within(ours) - 2 * across


def test_kernel_distance_is_the_definition_and_its_interval_the_jackknife():
    real, ours = normals(7, F), normals(9, F, seed=1) + 0.5
    computed = kid_of(real, ours)
    assert float(computed.value) == pytest.approx(by_definition(real, ours), rel=1e-12)

    def distance(a, b):
        return torch.tensor(by_definition(a, b), dtype=torch.float64)

    expected = 1.959964 * math.sqrt(jackknife(distance, real, ours))
    assert float(computed.high - computed.value) == pytest.approx(expected, rel=1e-6)
    torch.testing.assert_close(computed.value - computed.low, computed.high - computed.value)


def true_mmd(mean):
    """MMD^2 of N(0, 1) and N(m, 1), from moments: (x y + 1)^3 = sum of binomial(3, i) (x y)^i."""
    moments = (mean, mean**2 + 1, mean**3 + 3 * mean)
    return sum(c * (m - m0) ** 2 for c, m, m0 in zip((3, 3, 1), moments, (0, 1, 0), strict=True))


@pytest.mark.parametrize("mean", [0.0, 0.7])
def test_kernel_distance_is_unbiased(mean):
    """The mean over 1500 pairs of small sets within 4 standard errors of the true MMD^2."""
    values = torch.cat(
        [
            kid_of(normals(6, 1, seed=2 * i), normals(8, 1, seed=2 * i + 1) + mean).value
            for i in range(1500)
        ]
    )
    error = float(values.std()) / math.sqrt(len(values))
    assert abs(float(values.mean()) - true_mmd(mean)) < 4 * error
    assert true_mmd(0.7) > 6 * error or mean == 0.0


def test_kernel_interval_covers_the_true_value():
    """Over 400 pairs of sets: 95%, with a standard error of 1.1%."""
    computed = [
        kid_of(normals(200, 1, seed=2 * i), normals(300, 1, seed=2 * i + 1) + 0.7)
        for i in range(400)
    ]
    truth = true_mmd(0.7)
    covered = torch.cat([(f.low <= truth) & (truth <= f.high) for f in computed])
    assert 0.89 < float(covered.double().mean()) < 0.985


def test_chunks_of_the_kernel_do_not_show(monkeypatch):
    real, ours = normals(40, F), normals(50, F, seed=1)
    whole = kid_of(real, ours)
    monkeypatch.setattr("vaebench.evaluation.samples.kernel_distance.CACHE_BYTES", 2000)
    torch.testing.assert_close(vars(kid_of(real, ours)), vars(whole), rtol=1e-10, atol=1e-12)
