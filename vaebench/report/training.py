"""How far runs were trained, and which of their weights were kept, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from vaebench.results.rows import TRAINING

if TYPE_CHECKING:
    import pandas as pd


def ended(runs: pd.DataFrame) -> str:
    """Say how many of the runs, a row each, stopped early and where, and after which steps their
    weights were kept; "" where all went to the end and have the last."""
    if not set(TRAINING) <= set(runs):
        return ""
    trained = runs[runs["status"] == "done"].dropna(subset=list(TRAINING))
    early = trained[trained["steps"] < trained["num_steps"]]
    parts = []
    if len(early):
        steps = f"{_range(early['steps'])} of {_range(early['num_steps'])} steps"
        parts.append(f"{len(early)} of {len(trained)} runs stopped at {steps}")
    if (trained["kept_step"] < trained["steps"]).any():
        parts.append(f"the best weights are kept, of step {_range(trained['kept_step'])}")
    elif len(early):
        parts.append("the last weights are kept")
    return "; ".join(parts)


def endings(words_by_name: Mapping[str, str]) -> list[str]:
    """A sentence for each ending, with the names of all variants that ended so."""
    names: dict[str, list[str]] = {}
    for name, words in words_by_name.items():
        if words:
            names.setdefault(words, []).append(name)
    return [f"{', '.join(alike)}: {words}" for words, alike in names.items()]


def _range(values: pd.Series) -> str:
    low, high = int(values.min()), int(values.max())
    return f"{low}" if low == high else f"{low} to {high}"
