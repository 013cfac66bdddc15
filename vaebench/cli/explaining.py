"""The command that says what went wrong with runs."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click

from vaebench.cli.group import main
from vaebench.cli.options import PATH
from vaebench.cli.show import print_line


@main.command()
@click.argument("folder", type=PATH)
@click.argument("run", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print a list of JSON objects.")
def explain(folder: Path, run: str | None, as_json: bool) -> None:
    """Say what went wrong with the runs in FOLDER, or with one RUN, and what to try."""
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
        print_line(json.dumps([dataclasses.asdict(one) for one in complaints]))
        return
    for one in complaints:
        print_line(f"{one.title}: {one.variant}: {one.name} ({one.extent})")
        print_line(f"  {one.evidence}")
        print_line(f"  to try: {one.advice}")
    if not complaints:
        print_line(
            f"no rule finds anything wrong with {len(runs)} run{'' if len(runs) == 1 else 's'}"
        )
