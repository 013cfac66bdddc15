"""The diagram of critical differences."""

import numpy as np

from vaebench.report.across_spaces import BlockRanks
from vaebench.report.critical_difference import critical_difference, not_told_apart
from vaebench.report.statistics.ranks import MeanRanks, mean_ranks


def test_bars_join_the_longest_sets():
    for ranks, bars in (
        ([1.0, 1.5, 2.2, 4.0], [(0, 1), (1, 2)]),
        ([1.0, 1.5, 1.8, 4.0], [(0, 2)]),
        ([1.0, 3.0], []),
    ):
        mean = MeanRanks(np.array(ranks), num_blocks=8, p=0.01, critical_difference=1.0)
        assert not_told_apart(mean.ranks, mean) == bars


def test_diagram_names_every_variant_once():
    names = ["a", "b", "c"]
    losses = np.random.default_rng(0).normal(size=(8, 3))
    mean = mean_ranks(losses + np.array([9.0, 0.0, 9.1]))
    axes = critical_difference(BlockRanks(names, mean)).axes[0]
    assert "left out" not in axes.get_title(loc="left")
    assert sorted(text.get_text() for text in axes.texts) == names
    assert axes.texts[0].get_text() == "b"


def test_the_title_names_the_variants_that_lack_a_block():
    mean = mean_ranks(np.random.default_rng(0).normal(size=(8, 3)))
    ranked = BlockRanks(["a", "b", "c"], mean, [f"new {i}" for i in range(5)])
    title = critical_difference(ranked).axes[0].get_title(loc="left")
    assert title.endswith("left out, as they lack a block: new 0, new 1, new 2 and 2 more")
