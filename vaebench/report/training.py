"""How far runs were trained, and which of their weights were kept, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vaebench.results.rows import TRAINING

if TYPE_CHECKING:
    import pandas as pd


def ended(runs: pd.DataFrame) -> str:
    """Say how many of the runs, a row each, stopped early and where, and after which steps their
    weights were kept; "" where all went to the end and have the last."""
    if not set(TRAINING) <= set(runs):
        return ""
    trained = runs[list(TRAINING)].to_numpy(float, na_value=np.nan)
    trained = trained[(runs["status"] == "done").to_numpy() & ~np.isnan(trained).any(axis=1)]
    steps, num_steps, kept = trained.T
    early = steps < num_steps
    parts = []
    if early.any():
        where = f"{_range(steps[early])} of {_range(num_steps[early])} steps"
        parts.append(f"{early.sum()} of {len(trained)} runs stopped at {where}")
    if (kept < steps).any():
        parts.append(f"the best weights are kept, of step {_range(kept)}")
    elif early.any():
        parts.append("the last weights are kept")
    return "; ".join(parts)


def not_to_the_end(runs: pd.DataFrame) -> NDArray[np.bool_]:
    """Which of the runs, a row each, stopped early or have other weights than the last: [runs]."""
    if not set(TRAINING) <= set(runs):
        return np.zeros(len(runs), bool)
    kept, num_steps = (
        runs[name].to_numpy(float, na_value=np.nan) for name in ("kept_step", "num_steps")
    )
    return np.asarray(kept < num_steps)


def endings(words_by_name: Mapping[str, str]) -> list[str]:
    """A sentence for each ending, with the names of all variants that ended so."""
    names: dict[str, list[str]] = {}
    for name, words in words_by_name.items():
        if words:
            names.setdefault(words, []).append(name)
    return [f"{', '.join(alike)}: {words}" for words, alike in names.items()]


def _range(values: NDArray[np.float64]) -> str:
    low, high = int(values.min()), int(values.max())
    return f"{low}" if low == high else f"{low} to {high}"
