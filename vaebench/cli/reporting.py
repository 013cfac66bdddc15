"""The command that writes what a results folder shows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from vaebench.cli.as_json import print_json
from vaebench.cli.group import main
from vaebench.cli.options import PATH, json_option
from vaebench.cli.show import print_lines, print_table
from vaebench.core.collector import paused

if TYPE_CHECKING:
    import pandas as pd


def names_of_formats(context: click.Context, option: click.Parameter, text: str) -> tuple[str, ...]:
    """The formats of a text such as html,latex."""
    if context.resilient_parsing:
        return ()  # a word is completed, and no report is written
    from vaebench.report import FORMATS

    names = tuple(text.split(","))
    for name in names:
        if name not in FORMATS:
            raise click.BadParameter(f"{name!r} must be one of {', '.join(FORMATS)}.")
    return names


@main.command()
@click.argument("folder", type=PATH)
@click.option("--out", type=PATH, help="The folder that gets the files. Default: FOLDER/report.")
@click.option(
    "--target",
    type=float,
    metavar="NATS",
    help="The validation ELBO for which the time to reach it is told. Default: what half of the "
    "variants reach.",
)
@click.option(
    "--reference",
    metavar="VARIANT",
    help="Show differences to this variant, by its name in the table, not to the best.",
)
@click.option(
    "--format",
    "formats",
    callback=names_of_formats,
    default="html,csv,md,png",
    show_default=True,
    metavar="NAMES",
    help="What is written, with commas between: html is the page; csv, md and latex are tables; "
    "png, svg and pdf are figures.",
)
@json_option
def report(
    folder: Path,
    out: Path | None,
    target: float | None,
    reference: str | None,
    formats: tuple[str, ...],
    as_json: bool,
) -> None:
    """Write the page, tables and figures of a folder.

    FOLDER is a results folder, as `vaebench run` fills it.
    """
    from vaebench.report import write_report

    with paused():  # the millions of objects of a large folder are still there
        table, paths = write_report(folder, out or folder / "report", target, reference, formats)
        if as_json:
            print_json(rankings=table, files=paths)
            return
        _print_tables(table)
    print_lines(paths)


def _print_tables(table: pd.DataFrame) -> None:
    """Print the ranking of each observation space, with its footnotes."""
    from vaebench.report.tables import BRIEF, footnotes, printable, title_of

    for _, part in table.groupby("observation_space"):
        print_table(title_of(part), printable(part, BRIEF).astype(str).to_dict("records"))
        print_lines(footnotes(part, BRIEF))
