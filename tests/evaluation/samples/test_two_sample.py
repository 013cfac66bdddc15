"""The classifier two-sample test: calibrated where there is no difference, sure where there is."""

import math
from statistics import NormalDist

import pytest
import torch

from tests.support.features import normals
from vaebench.evaluation.samples.two_sample import p_value_of, told_apart

NUM, F = 60, 4


def accuracies(num_pairs, **difference):
    shift, scale = difference.get("shift", 0.0), difference.get("scale", 1.0)
    pairs = (
        (normals(NUM, F, seed=2 * i), normals(NUM, F, seed=2 * i + 1)) for i in range(num_pairs)
    )
    return torch.stack([told_apart(a, scale * b + shift).double().mean() for a, b in pairs])


@pytest.fixture(scope="module")
def under_no_difference():
    return accuracies(2000)


def test_no_difference_gives_one_half(under_no_difference):
    """Within 4 standard errors; and the spread is that of independent guesses, within 7%."""
    spread = math.sqrt(0.25 / NUM)
    error = spread / math.sqrt(len(under_no_difference))
    assert abs(float(under_no_difference.mean()) - 0.5) < 4 * error
    assert float(under_no_difference.std()) == pytest.approx(spread, rel=0.07)


@pytest.mark.parametrize("level", [0.05, 0.25, 0.5, 0.8])
def test_p_values_are_uniform_under_no_difference(under_no_difference, level):
    """Within 4 standard errors and half the step of p that one more held-out image makes."""
    rejected = float((p_value_of(under_no_difference, NUM) <= level).double().mean())
    error = math.sqrt(level * (1 - level) / len(under_no_difference))
    normal = NormalDist()
    step = normal.pdf(normal.inv_cdf(level)) * 2 / math.sqrt(NUM)
    assert abs(rejected - level) < 4 * error + step / 2


def test_p_value_is_the_tail_of_a_normal():
    """60 of 100: z = 2; a worse one than guessing is no sign of a difference."""
    p = p_value_of(torch.tensor([0.6, 0.5, 0.4], dtype=torch.float64), 100)
    assert p.tolist() == pytest.approx([0.02275, 0.5, 0.97725], abs=1e-5)


@pytest.mark.parametrize("difference", [{"shift": 30.0}, {"scale": 1e-3, "shift": 5.0}])
def test_separate_sets_are_told_apart(difference):
    assert float(accuracies(3, **difference).min()) == 1.0


def test_a_difference_of_spread_alone_is_seen():
    """Which no linear classifier would see."""
    assert float(accuracies(30, scale=3.0).mean()) > 0.7


def test_the_vote_is_that_of_the_nearest():
    """Two of each learned from: one neighbour votes. The first halves are learned from."""
    real = torch.tensor([[0.0], [1.0], [0.1], [9.1]]).double()
    ours = torch.tensor([[10.0], [9.0], [0.9], [9.9]]).double()
    assert told_apart(real, ours).tolist() == [True, False, False, True]


def test_which_is_called_real_does_not_matter():
    a, b = normals(NUM, F), normals(NUM, F, seed=1) + 0.5
    swapped = told_apart(b, a).roll(NUM // 2)
    assert torch.equal(told_apart(a, b), swapped)


def test_chunks_do_not_show(monkeypatch):
    a, b = normals(NUM, F), normals(NUM, F, seed=1) + 0.5
    whole = told_apart(a, b)
    monkeypatch.setattr("vaebench.evaluation.samples.neighbours.CACHE_BYTES", 1000)
    assert torch.equal(told_apart(a, b), whole)
