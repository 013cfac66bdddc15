"""Rows of a gradient measurement -> files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from vaebench import results
from vaebench.report.gradients import figures
from vaebench.report.gradients.tables import Row, printable, refusals, wide

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["printable", "refusals", "write_gradients"]


def write_gradients(rows: Sequence[Row], out: Path) -> list[Path]:
    """Write gradients.json and .csv with all rows, table.csv, and the figures; give the paths.

    Raises InputError where there is no place to write.
    """
    frame = pd.DataFrame(rows)
    paths = [results.write_rows(out, "gradients", list(rows))]
    contents = {
        "gradients.csv": frame.to_csv(index=False).encode(),
        "table.csv": wide(frame).to_csv(index=False).encode(),
    }
    done = frame[frame["status"] == "done"]
    drawn: dict[str, Figure | None] = {}
    if not done[done["metric"] == "snr_vector"].empty:
        drawn = {
            "snr.png": figures.signal_to_noise(done),
            "cost.png": figures.cost(done),
            "bias.png": figures.bias(done),
            "budget.png": figures.budget(done),
        }
    contents |= {n: figures.png(figure) for n, figure in drawn.items() if figure is not None}
    for name, content in contents.items():
        results.write_atomically(out / name, content)
    return paths + [out / name for name in contents]
