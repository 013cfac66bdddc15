"""Rows -> tables, statistics and figures, as files. Everything here is a function of the rows."""

from __future__ import annotations

import functools
import io
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from vaebench import results
from vaebench.core.errors import InputError
from vaebench.report import clinic
from vaebench.report.across_spaces import interquartile_means, ranks_over_blocks
from vaebench.report.comparison import comparisons
from vaebench.report.spaces import SPACE, TITLE, titles
from vaebench.report.standings import KEYS, RANKED_BY, Examples, used
from vaebench.report.tables import made_with, markdown, summarise
from vaebench.report.time_to_target import ELBO, performance_profiles, time_to_target
from vaebench.results.rows import COSTS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

DRAWN = ("nll", "elbo", "ais_nll", "rate", "distortion", "examples_per_s")
"""The metrics that figures show."""
DPI, MOST_PIXELS = 120, 50_000
"""Dots per inch, and pixels along a side; a PNG of matplotlib has at most 65,535 of these."""


def examples_of(folder: Path) -> Examples:
    """A function that gives what is kept of a run's examples, and reads each file once."""
    return functools.cache(functools.partial(results.examples, folder))


def write_report(
    folder: Path, out: Path, target: float | None = None, reference: str | None = None
) -> tuple[pd.DataFrame, list[Path]]:
    """Write the tables and the figures of a results folder; give the summary and the paths.

    table.csv and table.md: the summary. comparison.csv: every pair of variants. aggregate.csv:
    interquartile means over observation spaces. time_to_target.csv: what each variant takes to
    reach a validation ELBO, `target` or what half of them reach; profiles.csv: how that compares
    over observation spaces. Raises InputError where there are no results, or no place to write, or
    a line has two runs of one seed.
    """
    import pandas as pd

    rows, examples = results.load(folder), examples_of(folder)
    drawn = rows[rows["metric"].isin(DRAWN)]
    environments = made_with(rows)
    runs = rows[rows["seed"].notna()].drop_duplicates("run")
    rows = used(rows)  # a large folder's columns of settings are too much to hold all the time
    firsts = first_runs(folder, runs)
    names = titles(firsts)
    table = summarise(rows, examples)
    table.insert(1, TITLE, table[SPACE].map(names))
    ranked = table.loc[table["rank"].notna(), KEYS]
    curves = results.curves(folder, ("step", ELBO, *COSTS), ("run", "steps", "num_steps"))
    results.writable(out)  # before figures are drawn
    has_rank = bool((rows["metric"] == RANKED_BY).any())
    pairs = comparisons(rows, examples) if has_rank else pd.DataFrame()
    try:
        contents = {
            "table.csv": table.to_csv(index=False).encode(),
            "table.md": (markdown(table) + environments).encode(),
            **_comparisons(rows, ranked, pairs),
            **_times(rows, curves, target),
            **_figures(drawn, curves, ranked, names),
        }
        from vaebench.report.page import Findings, render

        beside = pairs
        if reference is not None and has_rank:
            beside = comparisons(rows, examples, against=reference)
        findings = Findings(
            table=table,
            pairs=pairs,
            beside=beside,
            rows=rows,
            runs=runs,
            curves=curves,
            examples=examples,
            configs={space: run.config for space, run in firsts.items()},
            titles=names,
            samples=functools.partial(results.samples, folder),
            command=f"vaebench report {shlex.quote(str(folder))}",
            reference=reference,
            complaints=diagnosed(folder, runs, names, examples),
        )
        contents["report.html"] = render(findings).encode()
    except ImportError as error:
        raise InputError(f"a report needs {error.name}: install the extra, .[report]") from error
    for name, content in contents.items():
        results.write_atomically(out / name, content)
    return table, [out / name for name in contents]


def diagnosed(
    folder: Path, runs: pd.DataFrame, names: Mapping[str, str], examples: Examples
) -> list[clinic.Complaint]:
    """What the clinic says of the runs of a folder; `names` are the titles of its spaces."""
    of_runs = clinic.names_of(runs, names)
    return clinic.complaints(results.records(folder), examples, of_runs, clinic.explain)


def first_runs(folder: Path, runs: pd.DataFrame) -> dict[str, results.Record]:
    """The record of a run of each observation space, of one that is done where there is any."""
    done_first = runs.sort_values("status", key=lambda status: status != "done", kind="stable")
    firsts = done_first.drop_duplicates(SPACE)
    every = zip(firsts[SPACE], firsts["run"], strict=True)
    return {str(space): results.read(folder, str(run)) for space, run in every}


def _comparisons(rows: pd.DataFrame, ranked: pd.DataFrame, pairs: pd.DataFrame) -> dict[str, bytes]:
    """The tables of comparisons as CSV, by name; none without a value of what ranks."""
    if not (rows["metric"] == RANKED_BY).any():
        return {}
    tables = {
        "comparison.csv": pairs,
        "aggregate.csv": interquartile_means(rows.merge(ranked, on=KEYS)),
    }
    return {name: table.to_csv(index=False).encode() for name, table in tables.items()}


def _times(rows: pd.DataFrame, curves: pd.DataFrame, target: float | None) -> dict[str, bytes]:
    """The tables of what it takes to reach a target, and their profiles; none without curves."""
    if curves.empty:
        return {}
    from vaebench.report.performance_profile import performance_profile

    runs = rows[rows["seed"].notna()].drop_duplicates("run")
    table = time_to_target(curves, runs, target)
    if table.empty:  # all runs were lost
        return {}
    profiles = performance_profiles(table)
    contents = {"time_to_target.csv": table.to_csv(index=False).encode()}
    if profiles.empty:
        return contents
    return contents | {
        "profiles.csv": profiles.to_csv(index=False).encode(),
        "profiles.png": _png(performance_profile(profiles)),
    }


def _figures(
    rows: pd.DataFrame, curves: pd.DataFrame, ranked: pd.DataFrame, names: Mapping[str, str]
) -> dict[str, bytes]:
    """The figures as PNG, by name. Lines without a rank, which lost runs, are left to the table."""
    if ranked.empty:
        return {}
    from vaebench.report import figures
    from vaebench.report.critical_difference import critical_difference
    from vaebench.report.learning_curves import learning_curves

    rows = rows.merge(ranked, on=KEYS)
    rows[SPACE] = rows[SPACE].map(names)  # panels are titled by it
    runs = rows[rows["seed"].notna()].drop_duplicates("run")
    if not curves.empty:  # models from elsewhere have none
        curves = curves[curves["run"].isin(runs["run"])]
    ranks = ranks_over_blocks(rows)
    drawn = {
        "curves.png": learning_curves(curves, runs),
        "comparison.png": figures.comparison(rows),
        "rate_distortion.png": figures.rate_distortion(rows),
        "bounds.png": figures.bounds(rows),
        "throughput.png": figures.throughput(rows),
        "critical_difference.png": critical_difference(ranks) if ranks else None,
    }
    return {name: _png(figure) for name, figure in drawn.items() if figure is not None}


def _png(figure: Figure) -> bytes:
    from vaebench.report.figures import close

    buffer = io.BytesIO()
    dpi = min(DPI, MOST_PIXELS / max(figure.get_size_inches()))
    figure.savefig(buffer, format="png", dpi=dpi, bbox_inches="tight")
    close(figure)
    return buffer.getvalue()
