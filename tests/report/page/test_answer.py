"""The answer claims no more than the comparisons show."""

import pandas as pd

from tests.report.test_comparison import SPACE, drawn, rows_of
from tests.report.test_groups import rows_at
from vaebench.report.comparison import comparisons
from vaebench.report.page.answer import answers
from vaebench.report.tables import summarise


def best(*parts):
    rows = pd.concat(parts)
    (answer,) = answers(summarise(rows), comparisons(rows), {})
    return answer.best


def test_a_variant_that_beats_all_others_is_best():
    assert best(rows_at(0, first=100.0, other=109.0)).startswith("first is best: NLL 100")


def test_a_variant_that_is_compared_with_none_is_not_called_best():
    words = best(rows_at(0, first=100.0), rows_at(5, other=109.0))
    assert words.startswith("first has the best mean (NLL 100")
    assert words.endswith("but is not compared with other.")


def test_ties_and_what_is_not_compared_are_both_named():
    words = best(rows_at(0, first=100.0, near=100.001), rows_at(5, other=109.0))
    assert words.endswith("but is not told apart from near; and not compared with other.")


def test_what_further_seeds_take_is_said_below_their_number():
    rows = rows_of({"nll": drawn(6, 0.0, 0.02)})
    pairs = comparisons(rows)
    (answer,) = answers(summarise(rows), pairs, {(SPACE, "v0"): 2.0, (SPACE, "v1"): 3.0})
    more = pairs.iloc[0]["seeds_needed"] - 6
    named, price = answer.evidence
    assert f"{more:.0f} more seeds would detect" in named
    words = f"The further seeds named above are {2 * more:.0f} runs: about "
    assert price.startswith(words) and price.endswith(" of training, one after the other.")
