"""The diagram of critical differences."""

import numpy as np

from vaebench.report.critical_difference import critical_difference, joined
from vaebench.report.statistics.ranks import mean_ranks


def test_bars_join_the_longest_sets():
    assert joined(np.array([1.0, 1.5, 2.2, 4.0]), 1.0) == [(0, 1), (1, 2)]
    assert joined(np.array([1.0, 1.5, 1.8, 4.0]), 1.0) == [(0, 2)]
    assert joined(np.array([1.0, 3.0]), 1.0) == []


def test_diagram_names_every_variant_once():
    names = ["a", "b", "c"]
    losses = np.random.default_rng(0).normal(size=(8, 3))
    found = mean_ranks(losses + np.array([9.0, 0.0, 9.1]))
    axes = critical_difference(names, found).axes[0]
    assert sorted(text.get_text() for text in axes.texts) == names
    assert axes.texts[0].get_text() == "b"
