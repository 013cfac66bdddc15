"""Shared ranks, mean ranks over blocks, and the interquartile mean."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from vaebench.report.across_spaces import interquartile_means, ranks_over_blocks
from vaebench.report.critical_difference import critical_difference, joined
from vaebench.report.statistics.bootstrap import interquartile_mean
from vaebench.report.statistics.ranks import leaders, mean_ranks


def test_a_group_goes_as_far_as_its_first_reaches():
    """Three in a chain, each like the next, the first unlike the last: two groups."""
    assert leaders(3, lambda i, j: abs(i - j) > 1) == [0, 0, 2]
    assert leaders(4, lambda i, j: True) == [0, 1, 2, 3]
    assert leaders(4, lambda i, j: False) == [0, 0, 0, 0]
    assert leaders(0, lambda i, j: True) == []


@pytest.mark.parametrize("num, known", [(3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)])
def test_critical_difference_is_demsars(num, known):
    """Demsar 2006, table 5a: q at 5%."""
    losses = np.random.default_rng(0).normal(size=(12, num))
    expected = known * (num * (num + 1) / (6 * 12)) ** 0.5
    assert mean_ranks(losses).critical_difference == pytest.approx(expected, rel=5e-4)


def test_mean_ranks_share_ties():
    losses = np.array([[1.0, 1.0, 2.0]] * 3 + [[3.0, 2.0, 1.0]] * 3)
    found = mean_ranks(losses)
    np.testing.assert_allclose(found.ranks, [2.25, 1.75, 2.0])
    assert found.p == pytest.approx(stats.friedmanchisquare(*losses.T).pvalue)


def test_any_false_pair_by_nemenyi():
    """At most 5% of sets of blocks without a difference have a pair further apart."""
    generator, num = np.random.default_rng(0), 400
    found = [mean_ranks(generator.normal(size=(12, 5))) for _ in range(num)]
    apart = np.mean([np.ptp(f.ranks) > f.critical_difference for f in found])
    assert 0.01 < apart < 0.05 + 4 * (0.05 * 0.95 / num) ** 0.5


def test_too_few_blocks_or_variants_have_no_diagram():
    assert mean_ranks(np.zeros((5, 4))) is None
    assert mean_ranks(np.zeros((8, 2))) is None
    assert mean_ranks(np.zeros((8, 3))).p == 1.0


def test_bars_join_the_longest_sets():
    assert joined(np.array([1.0, 1.5, 2.2, 4.0]), 1.0) == [(0, 1), (1, 2)]
    assert joined(np.array([1.0, 1.5, 1.8, 4.0]), 1.0) == [(0, 2)]
    assert joined(np.array([1.0, 3.0]), 1.0) == []


def test_interquartile_mean_leaves_out_a_quarter_at_each_end():
    values = np.array([-100.0, 1.0, 2.0, 3.0, 4.0, 1000.0, 2.0, 3.0])
    assert interquartile_mean([values]).mean == 2.5
    assert interquartile_mean([values[:5], values[5:]]).mean == 2.5


def test_runs_are_resampled_within_their_stratum():
    """Two strata without spread: every resample is the sample. As one stratum it is not."""
    low, high = np.zeros(4), np.ones(4)
    assert interquartile_mean([low, high])[:3] == (0.5, 0.5, 0.5)
    pooled = interquartile_mean([np.concatenate([low, high])])
    assert pooled.low < 0.25 < 0.75 < pooled.high
    assert np.isnan(interquartile_mean([np.array([1.0])]).low)


def test_bootstrap_interval_covers_many_runs():
    """The percentile interval at 30 runs of a normal: 95% to within 2% and 4 standard errors."""
    drawn = np.random.default_rng(0).normal(size=(300, 30))
    found = [interquartile_mean([row]) for row in drawn]
    covered = np.mean([f.low <= 0 <= f.high for f in found])
    assert abs(covered - 0.95) < 0.02 + 4 * (0.95 * 0.05 / 300) ** 0.5


def rows_of(values):
    """Rows of NLL: {space: {variant: values by seed}}."""
    rows = [
        (space, "bernoulli", variant, "a=1", seed, "nll", value)
        for space, variants in values.items()
        for variant, own in variants.items()
        for seed, value in enumerate(own)
    ]
    names = ["observation_space", "likelihood", "variant", "settings", "seed", "metric", "value"]
    return pd.DataFrame(rows, columns=names)


def test_spaces_are_put_together_by_what_is_left_to_their_best():
    """100 nats in one space and -40 in another are no average; 1 and 3 behind the best are."""
    rows = rows_of(
        {
            "mass": {"a": [100.0] * 4, "b": [101.0] * 4},
            "density": {"a": [-40.0] * 4, "b": [-37.0] * 4},
        }
    )
    table = interquartile_means(rows).set_index("variant")
    assert table["iqm_nats"].to_dict() == {"a": 0.0, "b": 2.0}
    assert table["observation_spaces"].to_list() == [2, 2]


def test_blocks_are_spaces_and_seeds_of_variants_that_all_have():
    generator = np.random.default_rng(0)
    order = {"a": 0.0, "b": 1.0, "c": 2.0}
    spaces = {
        space: {name: base + x + generator.normal(size=4) * 0.01 for name, x in order.items()}
        for space, base in (("mass", 100.0), ("density", -40.0))
    }
    spaces["mass"]["only here"] = np.zeros(4)
    names, found = ranks_over_blocks(rows_of(spaces))
    assert names == ["a", "b", "c"]
    assert (found.ranks.tolist(), found.num_blocks) == ([1.0, 2.0, 3.0], 8)
    assert ranks_over_blocks(rows_of({"mass": spaces["mass"]})) is None


def test_diagram_names_every_variant_once():
    names = ["a", "b", "c"]
    losses = np.random.default_rng(0).normal(size=(8, 3))
    found = mean_ranks(losses + np.array([9.0, 0.0, 9.1]))
    axes = critical_difference(names, found).axes[0]
    assert sorted(text.get_text() for text in axes.texts) == names
    assert axes.texts[0].get_text() == "b"


def test_what_is_not_compared_is_in_no_group():
    """Two sets of seeds: 0 and 2 against 1 and 3, and 4 with neither."""

    def compared(i, j):
        return i % 2 == j % 2 and 4 not in (i, j)

    assert leaders(5, lambda i, j: False, compared) == [0, 1, 0, 1, 4]
    assert leaders(5, lambda i, j: True, compared) == [0, 1, 2, 3, 4]
