"""Variants that no test holds against each other: the table claims no tie of them."""

import numpy as np
import pandas as pd
import pytest

from tests.report.test_comparison import SPACE, rows_of
from vaebench.report.across_spaces import ranks_over_blocks
from vaebench.report.comparison import comparisons
from vaebench.report.sentences import in_words
from vaebench.report.tables import footnotes, markdown, printable, summarise

NOISE = np.random.default_rng(0).normal(size=5) * 0.1
REASON = "they have no seed with a value in common"


def rows_at(first_seed, **means):
    """Five seeds of each variant, from `first_seed` on."""
    values = {name: list(mean + (i + 1) * NOISE) for i, (name, mean) in enumerate(means.items())}
    rows = rows_of({"nll": values})
    return rows.assign(
        seed=rows["seed"] + first_seed, run=[f"{run}+{first_seed}" for run in rows["run"]]
    )


def shown(rows):
    table = summarise(rows)
    return dict(zip(table["variant"], printable(table)["rank"], strict=True)), footnotes(table)


def test_variants_without_a_common_seed_are_no_tie():
    rows = pd.concat([rows_at(0, first=100.0), rows_at(5, other=100.01)])
    ranks, notes = shown(rows)
    assert ranks == {"first": "1", "other": "2 ?1"}
    assert notes == [f"?N: not compared with rank N: {REASON}"]
    table = summarise(rows)
    assert table["shares"].to_list() == [1, 2]
    assert "2 ?1" in markdown(table)
    (sentence,) = in_words(comparisons(rows))
    assert sentence == f"{SPACE}: other and first are not compared in nll: {REASON}"


def test_each_set_of_seeds_has_its_own_groups():
    """In each set the second is like the first, and the third is far behind."""
    rows = pd.concat([rows_at(0, a=100.0, c=100.02, e=109.0), rows_at(5, b=100.01, d=100.03)])
    ranks, notes = shown(rows)
    assert ranks == {"a": "1", "b": "2 ?1", "c": "3 =1", "d": "4 =2", "e": "5 ?2"}
    assert [note[:2] for note in notes] == ["=N", "?N"]


@pytest.mark.parametrize("other_seeds", [0, 4])
def test_one_common_seed_has_no_interval(other_seeds):
    """`other_seeds`: that the second has beside it."""
    rows = rows_of({"nll": {"first": [100.0], "other": [100.5] + [100.5] * other_seeds}})
    ranks, notes = shown(rows)
    assert ranks == {"first": "1", "other": "2 =1"}
    assert "or one seed has none" in notes[0]


def test_a_diagram_of_ranks_has_only_what_every_block_has():
    rows = pd.concat([rows_at(0, a=100.0, b=101.0, c=102.0), rows_at(5, d=100.0)])
    assert ranks_over_blocks(rows) is None


def test_where_all_are_compared_the_table_has_no_column_of_it():
    table = summarise(rows_at(0, a=100.0, b=100.01))
    assert not {"not_compared", "why_not"} & set(table)
