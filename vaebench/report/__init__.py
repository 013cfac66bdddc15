"""Rows -> a page, tables, statistics and figures, as files. All are functions of the rows."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vaebench import results
from vaebench.core.errors import InputError
from vaebench.report.across_spaces import interquartile_means, ranks_over_blocks
from vaebench.report.evidence import Evidence, diagnosed, examples_of, first_runs, gather
from vaebench.report.latex import latex
from vaebench.report.spaces import SPACE
from vaebench.report.standings import KEYS, RANKED_BY
from vaebench.report.tables import made_with, markdown

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["FORMATS", "USUAL", "Evidence", "diagnosed", "examples_of", "first_runs", "write_report"]

DPI, MOST_PIXELS = 120, 50_000
"""Dots per inch, and pixels along a side; a PNG of matplotlib has at most 65,535 of these."""

Write = Callable[[Evidence], dict[str, bytes]]


def write_report(
    folder: Path,
    out: Path,
    target: float | None = None,
    reference: str | None = None,
    formats: Collection[str] = (),
) -> tuple[pd.DataFrame, list[Path]]:
    """Write what a results folder shows in these FORMATS, by default USUAL; give the summary and
    the paths.

    report.html: one page that opens from disk. table.csv, table.md and table.tex: the summary.
    comparison.csv: every pair of variants. aggregate.csv: interquartile means over observation
    spaces. time_to_target.csv: what each variant takes to reach a validation ELBO, `target` or what
    half of them reach; profiles.csv: how that compares over observation spaces. Differences on the
    page are to the variant `reference`, by default to the best. Raises InputError where there are
    no results, or no place to write, or a line has two runs of one seed.
    """
    evidence = gather(folder, target, reference)
    results.writable(out)  # before figures are drawn
    try:
        contents: dict[str, bytes] = {}
        for name in formats or USUAL:
            contents |= FORMATS[name](evidence)
    except ImportError as error:
        raise InputError(f"a report needs {error.name}: install the extra, .[report]") from error
    for name, content in contents.items():
        results.write_atomically(out / name, content)
    return evidence.table, [out / name for name in contents]


def _page(evidence: Evidence) -> dict[str, bytes]:
    from vaebench.report.page import render

    return {"report.html": render(evidence).encode()}


def _markdown(evidence: Evidence) -> dict[str, bytes]:
    return {"table.md": (markdown(evidence.table) + made_with(evidence.runs)).encode()}


def _latex(evidence: Evidence) -> dict[str, bytes]:
    return {"table.tex": latex(evidence.table).encode()}


def _csv(evidence: Evidence) -> dict[str, bytes]:
    """The tables; those alone that have lines."""
    tables = {"table.csv": evidence.table}
    values = evidence.rows[evidence.rows["metric"] == RANKED_BY]
    if len(values):
        ranked = values.merge(evidence.ranked, on=KEYS)
        tables |= {
            "comparison.csv": evidence.pairs,
            "aggregate.csv": interquartile_means(ranked),
        }
    tables |= {
        name: table
        for name, table in (
            ("time_to_target.csv", evidence.times),
            ("profiles.csv", evidence.profiles),
        )
        if not table.empty
    }
    return {name: table.to_csv(index=False).encode() for name, table in tables.items()}


def _figures(kind: str, evidence: Evidence) -> dict[str, bytes]:
    """The figures as files of one kind. Lines without a rank, which lost runs, are left to the
    table."""
    from vaebench.report.performance_profile import performance_profile

    drawn = {} if evidence.ranked.empty else _drawn(evidence)
    if not evidence.profiles.empty:
        drawn["profiles"] = performance_profile(evidence.profiles)
    return {f"{name}.{kind}": _file(figure, kind) for name, figure in drawn.items() if figure}


def _drawn(evidence: Evidence) -> dict[str, Figure | None]:
    """The figures by name; None where there is nothing to show. Observation spaces for whose
    variants there is no room are left out of panels, which then say how many."""
    from vaebench.report import figures
    from vaebench.report.critical_difference import critical_difference
    from vaebench.report.learning_curves import learning_curves
    from vaebench.report.panels import note_below, readable_spaces

    rows = evidence.drawn.merge(evidence.ranked, on=KEYS)
    rows[SPACE] = rows[SPACE].map(evidence.titles)  # panels are titled by it
    ranks, every = ranks_over_blocks(rows), rows[SPACE].unique()
    spaces = readable_spaces(rows)
    if len(spaces) < len(every):
        rows = rows[rows[SPACE].isin(spaces)]
    runs, curves = rows[rows["seed"].notna()].drop_duplicates("run"), evidence.curves
    if not curves.empty:  # models from elsewhere have none
        curves = curves[curves["run"].isin(runs["run"])]
    panels = {
        "curves": learning_curves(curves, runs),
        "comparison": figures.comparison(rows),
        "rate_distortion": figures.rate_distortion(rows),
        "bounds": figures.bounds(rows),
        "throughput": figures.throughput(rows),
    }
    if len(spaces) < len(every):
        for figure in filter(None, panels.values()):
            note_below(figure, f"the first {len(spaces)} of {len(every)} observation spaces")
    return {**panels, "critical_difference": critical_difference(ranks) if ranks else None}


def _file(figure: Figure, kind: str) -> bytes:
    from vaebench.report.figures import close

    buffer = io.BytesIO()
    dpi = min(DPI, MOST_PIXELS / max(figure.get_size_inches()))
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind, {})
    figure.savefig(buffer, format=kind, dpi=dpi, bbox_inches="tight", metadata=undated)
    close(figure)
    return buffer.getvalue()


FORMATS: Mapping[str, Write] = {
    "html": _page,
    "csv": _csv,
    "md": _markdown,
    "latex": _latex,
    **{kind: partial(_figures, kind) for kind in ("png", "svg", "pdf")},
}
"""What a report can be written as, by name."""
USUAL = ("html", "csv", "md", "png")
"""The formats that are written where none is named."""
