"""Ties are decided on differences within a seed, not between averages over seeds."""

import numpy as np
import pytest
from scipy import stats

from vaebench import results
from vaebench.config import digest
from vaebench.report.tables import summarise
from vaebench.results import Labels, Record, metric

SEEDS = range(8)
SHARED = np.array([12.0, -9.0, 4.0, -15.0, 8.0, 1.0, -6.0, 5.0])
"""What a seed does to every variant: tens of nats."""
SMALL = np.array([0.02, -0.01, 0.03, -0.02, 0.01, -0.03, 0.02, -0.02])
BEST = 100.0 + SHARED
BEHIND = BEST + 0.2 + SMALL
"""0.2 nats behind the best on every seed."""
INDEPENDENT = 100.05 + np.roll(SHARED, 3)
"""A variant as good as the best but for chance: seeds do not have the same effect."""


def record(variant: str, seed: int, nll: float, position: int) -> Record:
    """`position` decides where the run's file is read, which must not matter."""
    labels = Labels(
        dataset="digits",
        likelihood="bernoulli",
        objective=variant,
        hyper="{}",
        variant=variant,
        num_samples=1,
        observation_space="digits/dynamic/mass/0",
        settings="train.num_steps=1",
        seed=seed,
    )
    run, metrics = digest({variant: position}), [metric("nll", float(nll))]
    return Record(run=run, study="s", labels=labels, status="done", metrics=metrics)


@pytest.fixture
def tied(tmp_path):
    """Whether a variant with these NLLs is said to be tied with the best."""

    def verdict(values, order=1):
        results.prepare(tmp_path)
        for seed, position in zip(SEEDS, SEEDS[::order], strict=True):
            results.write(tmp_path, record("best", seed, BEST[seed], seed))
            results.write(tmp_path, record("other", seed, values[seed], position))
        lines = summarise(results.load(tmp_path)).set_index("variant")
        assert lines["rank"].to_dict() == {"best": 1, "other": 2}
        assert lines.loc["best", "shares"] == 1
        return bool(lines.loc["other", "shares"] == 1)

    return verdict


def unpaired_interval(values):
    return stats.ttest_ind(values, BEST).confidence_interval(0.95)


@pytest.mark.parametrize("order", [1, -1])
def test_a_small_constant_difference_is_seen_through_noise_that_seeds_share(tied, order):
    low, high = unpaired_interval(BEHIND)
    assert low < -5 < 5 < high
    assert not tied(BEHIND, order)


def test_independent_noise_is_a_tie(tied):
    assert tied(INDEPENDENT)


def test_the_difference_must_be_large_for_its_own_noise(tied):
    assert tied(BEST + 0.2 + 30 * SMALL)
