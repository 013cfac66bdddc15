"""Differences in a ranking are to the variant that is named."""

import pandas as pd

from tests.report.test_comparison import rows_of
from vaebench.report.comparison import comparisons
from vaebench.report.labels import display_names
from vaebench.report.page.rankings import rankings
from vaebench.report.tables import summarise


def test_the_reference_may_be_named_by_its_variant_alone():
    """Lines are named as in `comparisons`: of one variant, with their settings."""
    values = {"a": [100.0, 100.2], "b": [101.0, 101.3], "c": [102.0, 102.1]}
    rows = rows_of({"nll": values})
    other = rows[rows["variant"] == "c"].assign(settings="a=2", run=["d-0", "d-1"], value=103.0)
    rows = pd.concat([rows, other], ignore_index=True)
    rows.loc[rows["variant"] == "b", "settings"] = "a=3"
    table = summarise(rows)
    named = display_names(table)
    assert "b, a=3" in named, "its name must be more than its variant"
    places = {("digits/dynamic/mass/0", name): i for i, name in enumerate(named)}
    (ranking,) = rankings(table, comparisons(rows, against="b"), "b", places)
    headings = [column.heading for column in ranking.columns]
    place = headings.index("NLL above b, a=3 (nats)")
    shown = {row.name: row.cells[place].text for row in ranking.rows}
    assert shown.pop("b, a=3") == "0"
    assert all(words[:1] in "+-" and words for words in shown.values())


def test_figures_of_layers_have_columns_without_a_direction():
    of_nll = rows_of({"nll": {"a": [1.0, 1.2], "b": [2.0, 2.1]}})
    of_layers = (of_nll.assign(metric=name) for name in ("rate_layer_1", "active_layer_2"))
    rows = pd.concat([of_nll, *of_layers], ignore_index=True)
    places = {("digits/dynamic/mass/0", name): i for i, name in enumerate("ab")}
    (ranking,) = rankings(summarise(rows), comparisons(rows), None, places)
    headings = [column.heading for column in ranking.columns]
    assert headings[-2:] == ["rate of layer 1 (nats)", "active in layer 2"]


def test_one_seed_is_a_tie_too():
    rows = rows_of({"nll": {"a": [100.0], "b": [101.0]}})
    places = {("digits/dynamic/mass/0", name): i for i, name in enumerate("ab")}
    (ranking,) = rankings(summarise(rows), comparisons(rows), None, places)
    assert [row.is_tied for row in ranking.rows] == [False, True]
