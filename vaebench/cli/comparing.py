"""Commands that say how variants differ, within a results folder and between two."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from vaebench.cli.as_json import print_json
from vaebench.cli.group import main
from vaebench.cli.options import PATH, json_option
from vaebench.cli.show import print_lines


@main.command()
@click.argument("folder", type=PATH)
@click.option(
    "--metric",
    default="nll",
    show_default=True,
    metavar="NAME",
    help="The figure by which variants are compared, as the report names it: nll, elbo, frechet...",
)
@click.option(
    "--margin",
    type=float,
    metavar="DIFFERENCE",
    help="The smallest difference that matters to you, in the metric's unit: what is surely less "
    "counts as equal.",
)
@click.option(
    "--against",
    metavar="VARIANT",
    help="Compare all others with this variant, by its name in the report, not with the best. "
    "The exit status is then 1 where another is worse.",
)
@json_option
def compare(
    folder: Path, metric: str, margin: float | None, against: str | None, as_json: bool
) -> None:
    """Say which variants differ, and by how much.

    The variants in FOLDER are compared in pairs, seed by seed and example by example, with
    intervals of 95%, all pairs of an observation space allowed for (Holm).

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
        print_json(comparisons=table)
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
    help="A figure by which variants are compared. May be repeated. Default: those of the report's "
    "table that both folders have.",
)
@click.option(
    "--margin",
    type=float,
    default=0.0,
    show_default=True,
    metavar="DIFFERENCE",
    help="How much worse a variant may be without counting as worse, in each metric's unit.",
)
@json_option
def diff(before: Path, after: Path, metrics: tuple[str, ...], margin: float, as_json: bool) -> None:
    """Say what changed between two results folders.

    Each variant in BEFORE is compared with itself in AFTER. The folders may be of two versions,
    machines, or of before and after a change. The exit status is 1 where a variant is worse in
    AFTER by more than the margin, or lost a larger part of its runs, and 0 else.
    """
    from vaebench.report import diff as folders

    differences = folders.differences(before, after, metrics, margin)
    if as_json:
        print_json(**folders.parts(differences))
    else:
        print_lines(folders.in_words(differences))
    if differences.any_worse:
        sys.exit(1)
