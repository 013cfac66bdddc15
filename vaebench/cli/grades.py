"""The command that grades: recorded runs again, or a model from elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vaebench.cli.as_json import print_json
from vaebench.cli.completion import names_of, runs_of
from vaebench.cli.group import main, say
from vaebench.cli.options import (
    PATH,
    json_option,
    plugin_option,
    quiet_option,
    toml_values,
)
from vaebench.cli.show import cell, print_lines, print_table
from vaebench.core.errors import InputError
from vaebench.core.shown import duration

if TYPE_CHECKING:
    from vaebench.running.meter import Progress
    from vaebench.running.regrade import Request

FIGURE = ("metric", "value", "low", "high", "unit", "protocol", "trust")
SHOWN = ("run", "likelihood", "variant", "seed", *FIGURE)


@main.command()
@click.argument("target", type=PATH)
@click.option(
    "--run",
    "runs",
    multiple=True,
    metavar="ID",
    shell_complete=runs_of,
    help="Grade only this run of the folder. May be repeated.",
)
@click.option(
    "--samples",
    type=int,
    metavar="K",
    help="Samples of z for each example's NLL: more are slower and closer to log p(x). Default: as "
    "many as the runs had, and 100 for a model.",
)
@click.option(
    "--grading",
    "gradings",
    multiple=True,
    callback=toml_values,
    metavar="NAME",
    shell_complete=names_of("gradings"),
    help="What to grade: a name of `vaebench list gradings`, or one with its settings, "
    "'{name = \"annealed\", num_chains = 4}'. May be repeated. Default: what the runs were graded "
    "by.",
)
@click.option(
    "--keep",
    is_flag=True,
    help="Add the figures to the records of the runs, and draw their images again.",
)
@click.option("--budget", is_flag=True, help="Estimate how long each grading would take, and stop.")
@click.option(
    "--out",
    type=PATH,
    help="For runs: a folder that gets all figures as rows of JSON. For a model: the results "
    "folder that it is recorded in, to be compared with the runs there.",
)
@plugin_option
@quiet_option
@json_option
def evaluate(
    target: Path,
    runs: tuple[str, ...],
    samples: int | None,
    gradings: list[Any],
    keep: bool,
    budget: bool,
    out: Path | None,
    plugins: tuple[str, ...],
    progress: Progress,
    as_json: bool,
) -> None:
    """Grade recorded runs again, or a model of yours.

    TARGET is a results folder, whose runs are graded from their weights, or a FILE.py that defines
    the model (docs/evaluation.md).
    """
    from vaebench.core.plugins import load_plugins

    load_plugins(plugins)
    if budget and (keep or out):
        raise InputError("--budget grades nothing: leave out --keep and --out")
    if target.suffix == ".py":
        if runs or keep:
            raise InputError("--run and --keep are for recorded runs; a model is kept by --out")
        _grade_model(target, samples, gradings, budget, out, progress, as_json)
    else:
        from vaebench.running.regrade import Request

        _grade_runs(Request(target, runs, samples, gradings), keep, budget, out, progress, as_json)


def _grade_runs(
    request: Request,
    keep: bool,
    budget: bool,
    out: Path | None,
    progress: Progress,
    as_json: bool,
) -> None:
    from vaebench import results
    from vaebench.running.regrade import estimate_seconds, regrade

    if budget:
        return _show_budget(estimate_seconds(request), as_json)
    if out:
        results.writable(out)
    rows = regrade(request, keep=keep, progress=progress)
    refused = [row for row in rows if not row["metric"]]
    files = [results.write_rows(out, "evaluation", rows)] if out else []
    if as_json:
        why = [{"run": row["run"], "reason": row["trust"]} for row in refused]
        print_json(figures=[row for row in rows if row["metric"]], refused=why, files=files)
    else:
        chosen = {row["metric"] for row in rows} if request.gradings else {"nll", "elbo"}
        shown = [row for row in rows if row["metric"] and row["metric"] in chosen]
        print_table("", [{k: cell(row[k]) for k in SHOWN} for row in shown])
        print_lines(files)
    for row in refused:
        say(f"not graded: {row['run']}: {row['trust']}")
    if refused:
        sys.exit(1)
    return None


def _grade_model(
    path: Path,
    samples: int | None,
    gradings: list[Any],
    budget: bool,
    out: Path | None,
    progress: Progress,
    as_json: bool,
) -> None:
    from vaebench.running.external import estimate_seconds, grade, read

    settings: dict[str, Any] = {} if samples is None else {"num_samples": samples}
    entrant = read(path, **settings, **({"gradings": gradings} if gradings else {}))
    if budget:
        return _show_budget(estimate_seconds(entrant), as_json)
    record = grade(entrant, out, progress)
    files = [out / "runs" / f"{record.run}.json"] if out else []
    if as_json:
        return print_json(figures=record.metrics, files=files)
    figures = [{k: cell(getattr(m, k)) for k in FIGURE} for m in record.metrics]
    print_table(record.labels.variant, figures)
    return print_lines(files)


def _show_budget(seconds: dict[str, float], as_json: bool) -> None:
    """Print the time that each grading is estimated to take, and the sum."""
    if as_json:
        return print_json(budget=[{"grading": n, "seconds": s} for n, s in seconds.items()])
    lines = [*seconds.items(), ("in all", sum(seconds.values()))]
    return print_table("estimated", [{"grading": n, "time": duration(s)} for n, s in lines])
