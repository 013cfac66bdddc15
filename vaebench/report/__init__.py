"""Rows -> a page, tables, statistics and figures, as files. All are functions of the rows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from vaebench import results
from vaebench.core.beside import Beside, worthwhile
from vaebench.core.collector import paused
from vaebench.core.errors import InputError
from vaebench.report.across_spaces import interquartile_means
from vaebench.report.drawing import KINDS, figure_files, shown
from vaebench.report.evidence import Evidence, diagnosed, examples_of, first_runs, gather
from vaebench.report.latex import latex
from vaebench.report.tables import made_with, markdown

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FORMATS", "USUAL", "Evidence", "diagnosed", "examples_of", "first_runs", "write_report"]

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
    names, contents = formats or USUAL, dict[str, bytes]()
    with paused(), Beside() as second:  # millions of objects, of which few are garbage
        evidence = gather(folder, target, reference, second)
        results.writable(out)  # before figures are drawn
        try:
            begun = _begun(evidence, names, second)
            for name in names:
                contents |= TEXTS[name](evidence) if name in TEXTS else {}
            for files in begun:
                contents |= files()
        except ImportError as error:
            needs = f"a report needs {error.name}: install the extra, .[report]"
            raise InputError(needs) from error
    for name, content in contents.items():
        results.write_atomically(out / name, content)
    return evidence.table, [out / name for name in contents]


def _begun(
    evidence: Evidence, names: Collection[str], second: Beside
) -> list[Callable[[], dict[str, bytes]]]:
    """Begin what of a large folder's report another process makes, while this one makes the page:
    the figures and the interquartile means."""
    is_worthwhile, begun = worthwhile(len(evidence.runs)), []
    if "csv" in names and len(evidence.values):
        begun.append(second.begin_if(is_worthwhile, _aggregate, evidence.ranked_values))
    if kinds := [name for name in names if name in KINDS]:
        begun.append(second.begin_if(is_worthwhile, figure_files, shown(evidence), kinds))
    return begun


def _aggregate(ranked: pd.DataFrame) -> dict[str, bytes]:
    return {"aggregate.csv": interquartile_means(ranked).to_csv(index=False).encode()}


def _page(evidence: Evidence) -> dict[str, bytes]:
    from vaebench.report.page import render

    return {"report.html": render(evidence).encode()}


def _markdown(evidence: Evidence) -> dict[str, bytes]:
    return {"table.md": (markdown(evidence.table) + made_with(evidence.runs)).encode()}


def _latex(evidence: Evidence) -> dict[str, bytes]:
    return {"table.tex": latex(evidence.table).encode()}


def _csv(evidence: Evidence) -> dict[str, bytes]:
    """The tables but for that of `_aggregate`; those alone that have lines."""
    tables = {"table.csv": evidence.table}
    if len(evidence.values):
        tables["comparison.csv"] = evidence.pairs
    tables |= {
        name: table
        for name, table in (
            ("time_to_target.csv", evidence.times),
            ("profiles.csv", evidence.profiles),
        )
        if not table.empty
    }
    return {name: table.to_csv(index=False).encode() for name, table in tables.items()}


TEXTS: Mapping[str, Write] = {
    "html": _page,
    "csv": _csv,
    "md": _markdown,
    "latex": _latex,
}
"""What a report's texts can be written as, by name."""
FORMATS = (*TEXTS, *KINDS)
"""What a report can be written as."""
USUAL = ("html", "csv", "md", "png")
"""The formats that are written where none is named."""
