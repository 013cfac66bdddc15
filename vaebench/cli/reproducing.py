"""The command that tries published claims."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Literal

import click

from vaebench.cli.group import main
from vaebench.cli.options import PATH
from vaebench.cli.progress import progress_bar
from vaebench.cli.show import print_line, print_lines, print_table
from vaebench.core.errors import InputError


@main.command()
@click.argument("name", required=False)
@click.option(
    "--scale",
    type=click.Choice(["cpu", "full"]),
    default="cpu",
    show_default=True,
    help="full: as published; cpu: a shorter schedule with an expectation of its own.",
)
@click.option("--out", type=PATH, help="Default: results/runs/reproduction/NAME-SCALE.")
@click.option("--executor", default="local", show_default=True, help="As for `run`.")
@click.option("--workers", type=int, help="Worker processes. Default: one per core.")
@click.option("--list", "lists", is_flag=True, help="Show all claims, and what each costs here.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def reproduce(
    name: str | None,
    scale: Literal["cpu", "full"],
    out: Path | None,
    executor: str,
    workers: int | None,
    lists: bool,
    as_json: bool,
) -> None:
    """Train what the claim NAME needs, and say whether what was published is found again.

    NAME is one of --list, or the path of a claim of your own. What OUT holds is not trained again.
    OUT gets verdict.json, badge.svg and, as the hub of Hugging Face has them,
    .eval_results/NAME.yaml. Exit status: 0 reproduced, 1 not reproduced or not comparable.
    """
    if lists:
        _list(as_json)
        return
    if name is None:
        raise InputError("give the NAME of a claim; --list shows them")
    from vaebench.reproduction import Verdict, read_claim
    from vaebench.reproduction import reproduce as tried
    from vaebench.reproduction.files import as_builtins, write_files
    from vaebench.reproduction.verdict import in_words

    claim = read_claim(name)
    folder = out or Path("results/runs/reproduction") / f"{claim.name}-{scale}"
    done = tried(claim, scale, folder, executor=executor, workers=workers, progress=progress_bar)
    paths = write_files(folder, done)
    if as_json:
        click.echo(json.dumps(as_builtins(done), indent=1))
    else:
        print_line(f"{claim.name} ({scale}): {done.verdict}")
        print_lines(map(in_words, done.outcomes))
        print_lines(f"not as published: {words}" for words in done.differs)
        print_lines(paths)
    if done.verdict != Verdict.REPRODUCED:
        sys.exit(1)


def _list(as_json: bool) -> None:
    from vaebench.reproduction.cost import foretold

    lines = foretold()
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(line) for line in lines], indent=1))
        return
    print_table(
        "claims, and what they cost on one core of this machine", [line.words for line in lines]
    )
