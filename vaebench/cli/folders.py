"""Commands for what results folders hold: list and tidy runs, export rows, merge folders."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vaebench.cli.as_json import print_json
from vaebench.cli.completion import runs_of
from vaebench.cli.group import main, one_line, say
from vaebench.cli.options import PATH, json_option, plugin_option, quiet_option, workers_option
from vaebench.cli.show import cell, print_line, print_lines, print_table
from vaebench.core.errors import InputError
from vaebench.core.shown import size

if TYPE_CHECKING:
    import pandas as pd

    from vaebench.running.meter import Progress

STATUSES = ("done", "diverged", "failed")
LISTED = ("run", "status", "dataset", "likelihood", "variant", "settings", "seed", "nll", "reason")
IN_ORDER_OF = ["dataset", "likelihood", "variant", "settings", "seed"]
REASON_WIDTH = 60
NUM_POINTS = 10
"""Points of the learning curves that are shown of a run, the last one among them."""


@main.command()
@click.argument("folder", type=PATH)
@click.argument("wanted", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--status", type=click.Choice(STATUSES), help="Only the runs that ended in this way.")
@click.option(
    "--show",
    metavar="ID",
    shell_complete=runs_of,
    help="Show all of one run: settings, figures, curves, why it was lost, and the command that "
    "does it again.",
)
@click.option(
    "--prune", is_flag=True, help="Remove the chosen runs with all of their files, once you agree."
)
@click.option(
    "--retry",
    is_flag=True,
    help="Train the chosen runs that failed once more; with --out, all chosen ones, there.",
)
@click.option("--yes", is_flag=True, help="With --prune: remove without asking.")
@click.option(
    "--out", type=PATH, help="With --retry: another results folder, which gets the new runs."
)
@workers_option
@click.option(
    "--limit",
    default=50,
    show_default=True,
    metavar="N",
    help="How many runs are listed at most, lost ones first.",
)
@json_option
@plugin_option
@quiet_option
def runs(
    folder: Path,
    wanted: tuple[str, ...],
    status: str | None,
    show: str | None,
    prune: bool,
    retry: bool,
    yes: bool,
    out: Path | None,
    workers: int | None,
    limit: int,
    as_json: bool,
    plugins: tuple[str, ...],
    progress: Progress,
) -> None:
    """List runs; show, remove or retry some.

    FOLDER is a results folder. Conditions NAME=VALUE choose among its runs, by any column, setting
    or metric, with = != < > <= or >=: objective=iwae 'beta>2' 'nll<90' train.learning_rate=1e-3.
    """
    from vaebench import results

    if bool(show) + prune + retry > 1:
        raise InputError("give one of --show, --prune and --retry; got several")
    if (out or workers) and not retry:
        raise InputError("--out and --workers are for --retry")
    if as_json and (prune or retry):
        raise InputError("--json is for lists of runs, and for --show")
    if show:
        return _show(folder, show, as_json)
    texts = [*wanted, *([f"status={status}"] if status else [])]
    chosen = results.selected(folder, results.conditions(texts), ("nll",))
    if chosen.empty:
        for sentence in results.unknown_values(folder, results.conditions(wanted)):
            say(sentence)
    if prune:
        return _prune(folder, list(chosen["run"]), yes)
    if retry:
        again = chosen if out else chosen[chosen["status"] == "failed"]
        return _retry(folder, list(again["run"]), out or folder, workers, plugins, progress)
    return _list(chosen, limit, as_json)


@main.command()
@click.argument("folder", type=PATH)
@click.argument("rows", type=PATH, metavar="ROWS.parquet|.csv")
def export(folder: Path, rows: Path) -> None:
    """Write all figures of a folder to one file.

    It has a row for each figure of each run in FOLDER, for pandas or a spreadsheet. ROWS ends in
    .parquet or .csv. Hyperparameters are columns with types.
    """
    from vaebench import results

    print_line(f"{results.export(folder, rows)} rows in {rows}")


@main.command("export-model")
@click.argument("folder", type=PATH)
@click.argument("run", nargs=-1, required=True, metavar="ID|NAME=VALUE...", shell_complete=runs_of)
@click.option("--out", type=PATH, required=True, help="The folder that the model is written to.")
@plugin_option
def export_model(folder: Path, run: tuple[str, ...], out: Path, plugins: tuple[str, ...]) -> None:
    """Write the trained model of one run.

    It is plain PyTorch, which needs no vaebench. FOLDER is a results folder; the run is named by
    its ID, the beginning of that, or conditions NAME=VALUE that hold of it alone: objective=iwae
    seed=0.
    """
    from vaebench.running.bundle import export as export_run

    print_line(export_run(folder, run, out, plugins=plugins))


@main.command()
@click.argument("folders", type=PATH, nargs=-1, required=True, metavar="FOLDER...")
@click.option(
    "--out", type=PATH, required=True, help="The results folder that all runs are put in."
)
def merge(folders: tuple[Path, ...], out: Path) -> None:
    """Put the runs of several folders into one.

    Each FOLDER is a results folder, perhaps of another machine. A run that is in two of them must
    be the same in both.
    """
    from vaebench import results
    from vaebench.running.recording import protocol_of

    merged = results.merge(folders, out, protocol_of)
    twice = f"; {merged.num_twice} records were there twice, alike" if merged.num_twice else ""
    print_line(f"{merged.num_runs} runs in {out}{twice}")


def _list(chosen: pd.DataFrame, limit: int, as_json: bool) -> None:
    """Print the runs, those that were lost first."""
    from vaebench.report.labels import told_apart

    if as_json:
        return print_json(runs=chosen)
    chosen = told_apart(chosen)
    order = chosen["status"].map(STATUSES.index)
    empty = {"settings"} if not chosen["settings"].any() else set()
    columns = [name for name in LISTED if name in chosen and name not in empty]
    listed = chosen.assign(order=-order).sort_values(["order", *IN_ORDER_OF]).head(limit)
    if len(listed):
        print_table("", [_line(row) for row in listed[columns].to_dict("records")])
    counts = chosen["status"].value_counts()
    words = ", ".join(f"{counts[s]} {s}" for s in STATUSES if counts.get(s))
    rest = f"; {len(listed)} are listed: --limit lists more" if len(chosen) > len(listed) else ""
    return print_line(f"{len(chosen)} runs{f': {words}' if words else ''}{rest}")


def _line(row: dict[Any, Any]) -> dict[str, str]:
    row["reason"] = one_line(row["reason"].strip().rpartition("\n")[2])[:REASON_WIDTH]
    return {name: cell(value) for name, value in row.items()}


def _show(folder: Path, run: str, as_json: bool) -> None:
    from vaebench import results
    from vaebench.config import by_place
    from vaebench.running.again import command

    record = results.read(folder, run)
    again = command(folder, record)
    if as_json:
        print_json(record=record, command=again)
        return
    labels = record.labels
    print_line(f"{record.run}: {labels.variant}, {labels.likelihood}, seed {labels.seed}")
    print_line(f"{record.status}{f': {record.reason.strip()}' if record.reason else ''}")
    print_lines(f"{name} = {json.dumps(v)}" for name, v in by_place(record.config).items())
    if record.metrics:
        figures = ("metric", "value", "low", "high", "unit", "trust")
        print_table("", [{n: cell(getattr(m, n)) for n in figures} for m in record.metrics])
    if points := _points(record.curves):
        print_table("", points)
    print_line(f"again, alone: {again}" if again else "a model from elsewhere: nothing to train")


def _points(curves: dict[str, list[float | None]]) -> list[dict[str, str]]:
    """Some points of the learning curves, evenly spaced from the last back, steps first."""
    names = sorted(curves, key=lambda name: (name != "step", name))
    num = len(curves.get("step", ()))
    every = max(1, num // NUM_POINTS)
    shown = range((num - 1) % every, num, every)
    return [{name: cell(curves[name][i]) for name in names} for i in shown]


def _prune(folder: Path, chosen: Sequence[str], yes: bool) -> None:
    from vaebench.results import pruning

    what = f"{len(chosen)} runs of {folder}, {size(pruning.num_bytes(folder, chosen))}"
    if not chosen:
        return print_line("no run to remove")
    if not yes:
        if not sys.stdin.isatty():
            raise InputError(f"removing {what}, must be confirmed: add --yes")
        click.confirm(f"remove {what}?", abort=True)
    pruning.prune(folder, chosen)
    return print_line(f"removed {what}")


def _retry(
    folder: Path,
    chosen: Sequence[str],
    out: Path,
    workers: int | None,
    plugins: tuple[str, ...],
    progress: Progress,
) -> None:
    from vaebench.running.again import retry

    if not chosen:
        return print_line("no run to do again")
    ended = retry(folder, chosen, out, plugins=plugins, workers=workers, progress=progress)
    lost = sum(status != "done" for status in ended.values())
    print_line(f"{len(ended) - lost} of {len(ended)} runs done, recorded in {out}/runs")
    if lost:
        sys.exit(1)
    return None
