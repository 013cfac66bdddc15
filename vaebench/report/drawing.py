"""The figures of a report as files. What they show is picked first: small enough to be handed to
another process, which draws them while the page is made."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vaebench.report.across_spaces import ranks_over_blocks
from vaebench.report.evidence import Evidence
from vaebench.report.room import readable_spaces
from vaebench.report.spaces import SPACE
from vaebench.report.standings import KEYS
from vaebench.report.time_to_target import ELBO

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

KINDS = ("png", "svg", "pdf")
"""The kinds of files that figures can be."""
DPI, MOST_PIXELS = 120, 50_000
"""Dots per inch, and pixels along a side; a PNG of matplotlib has at most 65,535 of these."""


@dataclass(frozen=True)
class Shown:
    """What the figures show."""

    rows: pd.DataFrame
    """The figures of ranked lines, in the observation spaces that panels have room for."""
    curves: pd.DataFrame
    ranked_values: pd.DataFrame
    """The rows of what ranks, of all ranked lines."""
    profiles: pd.DataFrame
    note: str = ""
    """Which observation spaces panels show, where there is no room for all."""


def shown(evidence: Evidence) -> Shown:
    """What the figures show. Lines without a rank, which lost runs, are left to the table."""
    ranked, drawn, note = evidence.ranked, evidence.drawn, ""
    titled = ranked.assign(**{SPACE: ranked[SPACE].map(evidence.titles)})
    spaces, every = readable_spaces(titled), titled[SPACE].unique()
    if len(spaces) < len(every):
        drawn = drawn[drawn[SPACE].map(evidence.titles).isin(spaces)]
        note = f"the first {len(spaces)} of {len(every)} observation spaces"
    rows = drawn.merge(ranked, on=KEYS)
    rows[SPACE] = rows[SPACE].map(evidence.titles)  # panels are titled by it
    runs, curves = rows[rows["seed"].notna()], evidence.curves
    if not curves.empty:  # models from elsewhere have none
        curves = curves.loc[curves["run"].isin(runs["run"]), ["run", "step", ELBO]]
    return Shown(rows, curves, evidence.ranked_values, evidence.profiles, note)


def figure_files(shown: Shown, kinds: Sequence[str]) -> dict[str, bytes]:
    """The figures by name, once as each kind of file."""
    return {
        f"{name}.{kind}": _file(figure, kind)
        for kind in kinds
        for name, figure in _drawn(shown).items()
        if figure
    }


def _drawn(shown: Shown) -> dict[str, Figure | None]:
    """The figures by name; None where there is nothing to show."""
    from vaebench.report.critical_difference import critical_difference
    from vaebench.report.panels import note_below
    from vaebench.report.performance_profile import performance_profile

    ranks = ranks_over_blocks(shown.ranked_values)
    panels = {} if shown.rows.empty else _panels(shown.rows, shown.curves)
    if shown.note:
        for figure in filter(None, panels.values()):
            note_below(figure, shown.note)
    return {
        **panels,
        "critical_difference": critical_difference(ranks) if ranks else None,
        "profiles": None if shown.profiles.empty else performance_profile(shown.profiles),
    }


def _panels(rows: pd.DataFrame, curves: pd.DataFrame) -> dict[str, Figure | None]:
    """The figures that have a panel for each observation space."""
    from vaebench.report import figures
    from vaebench.report.learning_curves import learning_curves

    runs = rows[rows["seed"].notna()].drop_duplicates("run")
    return {
        "curves": learning_curves(curves, runs),
        "comparison": figures.comparison(rows),
        "rate_distortion": figures.rate_distortion(rows),
        "bounds": figures.bounds(rows),
        "throughput": figures.throughput(rows),
    }


def _file(figure: Figure, kind: str) -> bytes:
    from vaebench.report.figures import close

    buffer = io.BytesIO()
    dpi = min(DPI, MOST_PIXELS / max(figure.get_size_inches()))
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind, {})
    figure.savefig(buffer, format=kind, dpi=dpi, bbox_inches="tight", metadata=undated)
    close(figure)
    return buffer.getvalue()
