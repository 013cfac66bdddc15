"""How many variants and observation spaces the panels of a figure have room for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vaebench.report.spaces import SPACE
from vaebench.report.standings import KEYS

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 60
"""Variants of a panel that has a row for each: the best."""
MOST_IN_PANELS = 300
"""Variants of all panels of a figure together: of more, panels are left out."""


def readable_spaces(rows: pd.DataFrame) -> list[str]:
    """The observation spaces that a figure has room for, the first by name, one at least."""
    lines = rows[KEYS].drop_duplicates()[SPACE].astype(str).value_counts().sort_index()
    num = int((lines.clip(upper=MOST_ROWS).cumsum() <= MOST_IN_PANELS).sum())
    return list(lines.index[: max(1, num)])
