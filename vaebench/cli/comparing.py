"""Commands that say how variants differ, within a results folder and between two."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from vaebench.cli.group import main
from vaebench.cli.options import PATH
from vaebench.cli.show import print_line, print_lines


@main.command()
@click.argument("folder", type=PATH)
@click.option("--metric", default="nll", show_default=True, help="Metric to compare.")
@click.option("--margin", type=float, help="The smallest difference that matters to you.")
@click.option(
    "--against",
    metavar="VARIANT",
    help="Compare with this variant, not with the best; exit 1 where another is worse than it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each pair instead.")
def compare(
    folder: Path, metric: str, margin: float | None, against: str | None, as_json: bool
) -> None:
    """Say how the variants in FOLDER differ, paired by seed and example, in words.

    With --against VARIANT the exit status is 1 where another variant is worse than that one by more
    than the margin, or lost a larger part of its runs.
    """
    from vaebench import results
    from vaebench.report import examples_of
    from vaebench.report.comparison import comparisons
    from vaebench.report.evidence import titles_of
    from vaebench.report.sentences import in_words
    from vaebench.report.spaces import titled
    from vaebench.report.standings import RANKED_BY
    from vaebench.report.tuning import gains_in_words, ranking, tuned_beside_untuned

    rows, examples = results.load(folder, {RANKED_BY, metric}), examples_of(folder)
    if metric not in set(rows["metric"]):
        rows = results.load(folder)  # with all the names that could be meant
    table = comparisons(rows, examples, metric, margin, against)
    if as_json:
        print_line(table.to_json(orient="records"))
    else:
        names = titles_of(folder, rows)
        print_lines(in_words(titled(table, names)))
        if tunings := results.read_tuning(folder):
            rows = titled(rows, names)
            gains = tuned_beside_untuned(rows, tunings, examples, metric)
            print_lines([*gains_in_words(gains, metric), *ranking(rows, tunings, examples)])
    if "is_worse" in table and table["is_worse"].any():
        sys.exit(1)


@main.command()
@click.argument("before", type=PATH)
@click.argument("after", type=PATH)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="NAME",
    help="Metric to compare. May be repeated. Default: those of the ranking that both have.",
)
@click.option(
    "--margin",
    type=float,
    default=0.0,
    show_default=True,
    help="How much worse is borne, in each metric's unit.",
)
@click.option("--json", "as_json", is_flag=True, help="Print everything, as a JSON object.")
def diff(before: Path, after: Path, metrics: tuple[str, ...], margin: float, as_json: bool) -> None:
    """Say how the variants of results folder AFTER differ from the same ones in BEFORE.

    The folders may be of two versions, machines, or of before and after a change. The exit status
    is 1 where a variant is worse in AFTER by more than the margin, or lost a larger part of its
    runs, and 0 else.
    """
    from vaebench.report import diff as folders

    differences = folders.differences(before, after, metrics, margin)
    if as_json:
        print_line(folders.as_json(differences))
    else:
        print_lines(folders.in_words(differences))
    if differences.any_worse:
        sys.exit(1)
