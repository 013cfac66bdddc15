"""Columns of tables that say the same of many rows: each distinct value is kept once.

100,000 runs with twenty figures each are two million rows. Made row by row, they would take minutes
and several times the memory of the table.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

Texts = Callable[..., "pd.DataFrame"]
"""What makes a table of lines, by the names of its columns: `text_columns` or the like."""

MOST_TOGETHER = 1000
"""Lines that follow each other which are remembered together: of runs with doubts of their own,
each has others."""


class Pooled:
    """Columns whose lines repeat: `lines` has each once, and every row names one of them."""

    def __init__(self) -> None:
        self.lines: list[Any] = []
        self.codes = array("i")
        self.places: dict[Hashable, int] = {}
        self.together: dict[tuple[Hashable, ...], array[int]] = {}

    def add(self, key: Hashable, line: Any) -> None:
        """A row of the line that has this key."""
        self.codes.append(self._place(key, line))

    def add_all(self, lines: tuple[Hashable, ...]) -> None:
        """A row of each of these lines, which are their own keys. Rows that follow each other once
        often do so again, and are then looked up together."""
        codes = self.together.get(lines)
        if codes is None:
            if len(self.together) == MOST_TOGETHER:
                self.together.clear()
            codes = self.together[lines] = array("i", map(self._place, lines, lines))
        self.codes.extend(codes)

    def extend(self, others: Pooled) -> None:
        """The rows of another one after these."""
        import numpy as np

        lines = zip(others.places, others.lines, strict=True)  # keys are in the order of the lines
        places = [self._place(key, line) for key, line in lines]
        codes = np.asarray(places, np.int32)[np.asarray(others.codes)] if places else []
        self.codes.frombytes(np.asarray(codes, np.int32).tobytes())

    def _place(self, key: Hashable, line: Any) -> int:
        place = self.places.setdefault(key, len(self.lines))
        if place == len(self.lines):
            self.lines.append(line)
        return place

    def columns(self, table: pd.DataFrame, rows: NDArray[Any] | slice) -> dict[str, Any]:
        """The columns of a table of the lines, for these rows, each as often as it is named."""
        import numpy as np

        places = np.asarray(self.codes)[rows]
        return {str(name): table[name].array.take(places) for name in table}


class Numbers:
    """Columns of numbers by name, all of one length; NaN where one has none."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.length = 0
        self.values = {name: array("d") for name in names}

    def add(self, values: Mapping[str, Sequence[float | None]], length: int) -> None:
        """So many rows more."""
        for name, of_name in values.items():
            if name not in self.values:
                self.values[name] = array("d", self.length * (math.nan,))
            self.values[name].extend(_numbers(of_name))
        self.length += length
        for column in self.values.values():
            column.extend((self.length - len(column)) * (math.nan,))

    def extend(self, others: Numbers) -> None:
        """The rows of another one after these."""
        self.add(others.values, others.length)

    def columns(self) -> dict[str, Any]:
        """The numbers of each column."""
        import numpy as np

        return {name: np.asarray(values) for name, values in self.values.items()}


def text_columns(lines: Any, columns: Any = None) -> pd.DataFrame:
    """A table whose texts are Python's: rows that say the same share one of them."""
    import numpy as np
    import pandas as pd

    table = pd.DataFrame(lines, columns=columns)
    texts = [name for name in table if _is_text(table[name])]
    return table.astype(dict.fromkeys(texts, pd.StringDtype("python", na_value=np.nan)))


def category_columns(lines: Any, columns: Any = None) -> pd.DataFrame:
    """The same table with texts as categories, in the order of the texts."""
    table = text_columns(lines, columns)
    texts = [name for name in table if _is_text(table[name])]
    return table.astype(dict.fromkeys(texts, "category"))


def _is_text(column: pd.Series) -> bool:
    import pandas as pd

    return isinstance(column.dtype, pd.StringDtype)


def _numbers(values: Sequence[float | None]) -> Iterable[float]:
    """The numbers, NaN for None."""
    if None in values:
        return [math.nan if value is None else value for value in values]
    return cast("Sequence[float]", values)
