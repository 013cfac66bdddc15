"""Lines that repeat are kept once, however they are added."""

import numpy as np

from vaebench.results import columns
from vaebench.results.columns import Pooled


def test_lines_added_together_are_those_added_one_by_one(monkeypatch):
    monkeypatch.setattr(columns, "MOST_TOGETHER", 2)  # so that what was seen is forgotten too
    groups = [("a", "b"), ("b",), ("a", "b"), ("c", "a"), ("a", "b"), ("c", "a")]
    together, alone = Pooled(), Pooled()
    for lines in groups:
        together.add_all(lines)
        for line in lines:
            alone.add(line, line)
    assert together.lines == alone.lines == ["a", "b", "c"]
    assert np.array_equal(together.codes, alone.codes)
