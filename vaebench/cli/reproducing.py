"""The command that tries published claims."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from vaebench.cli.as_json import print_json
from vaebench.cli.completion import names_of
from vaebench.cli.group import main
from vaebench.cli.options import PATH, json_option, quiet_option, workers_option
from vaebench.cli.show import print_line, print_lines, print_table
from vaebench.core.errors import InputError

if TYPE_CHECKING:
    from vaebench.running.meter import Progress


@main.command()
@click.argument("name", required=False)
@click.option(
    "--scale",
    type=click.Choice(["cpu", "full"]),
    default="cpu",
    show_default=True,
    help="full: trained as published; cpu: a shorter schedule with an expectation of its own.",
)
@click.option(
    "--out", type=PATH, help="The results folder. Default: results/runs/reproduction/NAME-SCALE."
)
@click.option(
    "--executor",
    default="local",
    show_default=True,
    shell_complete=names_of("executors"),
    help="Where runs train: local (processes on this machine), inline, ray or slurm.",
)
@workers_option
@click.option("--list", "lists", is_flag=True, help="List all claims, and what each costs here.")
@quiet_option
@json_option
def reproduce(
    name: str | None,
    scale: Literal["cpu", "full"],
    out: Path | None,
    executor: str,
    workers: int | None,
    lists: bool,
    progress: Progress,
    as_json: bool,
) -> None:
    """Try a published claim, and say whether it holds.

    What the claim needs is trained, and judged by the claim's own protocol. NAME is one of --list,
    or the path of a claim of your own. What OUT holds is not trained again. OUT gets verdict.json,
    badge.svg and, as the hub of Hugging Face has them, .eval_results/NAME.yaml. Beside the verdict
    it says whether the figures are what the same schedule gave before, where that is recorded. Exit
    status: 0 reproduced, 1 not reproduced or not comparable, 3 not what it gave before.
    """
    if lists:
        _list(as_json)
        return
    if name is None:
        raise InputError("give the NAME of a claim; --list shows them")
    from vaebench.reproduction import Verdict, expected, read_claim
    from vaebench.reproduction import reproduce as tried
    from vaebench.reproduction.files import as_builtins, write_files
    from vaebench.reproduction.verdict import in_words

    claim = read_claim(name)
    folder = out or Path("results/runs/reproduction") / f"{claim.name}-{scale}"
    done = tried(claim, scale, folder, executor=executor, workers=workers, progress=progress)
    paths = write_files(folder, done)
    if as_json:
        print_json(**as_builtins(done), files=paths)
    else:
        print_line(f"{claim.name} ({scale}): {done.verdict}")
        print_lines(map(in_words, done.outcomes))
        print_lines(map(expected.in_words, done.expectations))
        print_lines(f"not as published: {words}" for words in done.differs)
        print_lines(paths)
    if not all(expectation.met for expectation in done.expectations):
        sys.exit(3)
    if done.verdict != Verdict.REPRODUCED:
        sys.exit(1)


def _list(as_json: bool) -> None:
    from vaebench.reproduction.cost import foretold

    lines = foretold()
    if as_json:
        print_json(claims=lines)
        return
    print_table(
        "claims, and what they cost on one core of this machine", [line.words for line in lines]
    )
