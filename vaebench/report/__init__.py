"""Rows -> tables, statistics and figures, as files. Everything here is a function of the rows."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from vaebench import results
from vaebench.errors import InputError
from vaebench.report.tables import KEYS, made_with, markdown, summarise

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def write_report(folder: Path, out: Path) -> tuple[pd.DataFrame, list[Path]]:
    """Write table.csv, table.md and the figures of a results folder; the table and the paths.

    Raises InputError where there are no results, or no place to write.
    """
    rows, curves = results.load(folder), results.curves(folder)
    table = summarise(rows)
    try:
        contents = {
            "table.csv": table.to_csv(index=False).encode(),
            "table.md": (markdown(table) + made_with(rows)).encode(),
            **_figures(rows, curves, table),
        }
    except ImportError as error:
        raise InputError(f"a report needs {error.name}: install the extra, .[report]") from error
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            results.write_atomically(out / name, content)
    except OSError as error:
        raise InputError(f"the report needs a writable folder; {out}: {error.strerror}") from error
    return table, [out / name for name in contents]


def _figures(rows: pd.DataFrame, curves: pd.DataFrame, table: pd.DataFrame) -> dict[str, bytes]:
    """The figures as PNG, by name. Lines without a rank, which lost runs, are left to the table."""
    ranked = table.loc[table["rank"].notna(), KEYS]
    if ranked.empty:
        return {}
    from vaebench.report import figures

    rows, curves = rows.merge(ranked, on=KEYS), curves.merge(ranked, on=KEYS)
    drawn = {
        "curves.png": figures.learning_curves(curves),
        "comparison.png": figures.comparison(rows),
        "rate_distortion.png": figures.rate_distortion(rows),
        "throughput.png": figures.throughput(rows),
    }
    return {name: _png(figure) for name, figure in drawn.items() if figure is not None}


def _png(figure: Figure) -> bytes:
    from vaebench.report.figures import close

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120, bbox_inches="tight")
    close(figure)
    return buffer.getvalue()
