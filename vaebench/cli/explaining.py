"""The command that says what went wrong with runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vaebench.cli.as_json import print_json
from vaebench.cli.completion import runs_of
from vaebench.cli.group import main
from vaebench.cli.options import PATH, json_option
from vaebench.cli.show import print_line, print_lines

if TYPE_CHECKING:
    from vaebench.report.clinic.summary import Complaint


@main.command()
@click.argument("folder", type=PATH)
@click.argument("run", required=False, shell_complete=runs_of)
@json_option
def explain(folder: Path, run: str | None, as_json: bool) -> None:
    """Say what went wrong with runs, and what to try.

    Rules read the recorded figures and curves of the runs in FOLDER, or of one RUN: a collapsed
    posterior, a KL weight on another scale than the likelihood, memorised images, divergence and
    the like, each with its evidence. RUN is an id, as `vaebench runs` lists them.
    """
    from vaebench import results
    from vaebench.report import diagnosed, examples_of, first_runs
    from vaebench.report.spaces import titles

    runs = results.load(folder, ()).dropna(subset=["seed"]).drop_duplicates("run")
    names = titles(first_runs(folder, runs))
    if run is not None:
        results.read(folder, run)  # or says that there is none
        runs = runs[runs["run"] == run]
    complaints = diagnosed(folder, runs, names, examples_of(folder))
    if as_json:
        print_json(complaints=complaints)
        return
    print_lines(_in_words(complaints))
    if not complaints:
        print_line(
            f"no rule finds anything wrong with {len(runs)} run{'' if len(runs) == 1 else 's'}"
        )


def _in_words(complaints: Sequence[Complaint]) -> Iterator[str]:
    """What is wrong and what to try, each said once, with the evidence of every variant."""
    alike: dict[tuple[str, str, str], list[Complaint]] = {}
    for one in complaints:
        alike.setdefault((one.title, one.name, one.advice), []).append(one)
    for (title, name, advice), variants in alike.items():
        yield f"{title}: {name}"
        yield from (f"  {one.variant} ({one.extent}): {one.evidence}" for one in variants)
        yield f"  to try: {advice}"
