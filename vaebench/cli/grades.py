"""The command that grades: recorded runs again, or a model from elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vaebench.cli.group import main, say
from vaebench.cli.options import PATH, plugin_option, quiet_option, toml_values
from vaebench.cli.show import print_line, print_table
from vaebench.core.errors import InputError

if TYPE_CHECKING:
    from vaebench.running.meter import Progress
    from vaebench.running.regrade import Request

FIGURE = ("metric", "value", "low", "high", "unit", "protocol", "trust")
SHOWN = ("run", "likelihood", "variant", "seed", *FIGURE)


@main.command()
@click.argument("target", type=PATH)
@click.option("--run", "runs", multiple=True, metavar="ID", help="Only this run. May be repeated.")
@click.option(
    "--samples", type=int, help="K of the NLL. Default: K of the runs, or 100 for a model."
)
@click.option(
    "--grading",
    "gradings",
    multiple=True,
    callback=toml_values,
    metavar="NAME",
    help='What to grade, see `vaebench list gradings`; with scalars: \'{name = "annealed", '
    "num_chains = 4}'. May be repeated. Default: as the runs were.",
)
@click.option(
    "--keep",
    is_flag=True,
    help="Add the figures to the records of the runs, and draw their images again.",
)
@click.option("--budget", is_flag=True, help="Estimate how long it would take, and stop.")
@click.option(
    "--out",
    type=PATH,
    help="For runs: a folder for the rows. For a model: the results folder to record it in.",
)
@plugin_option
@quiet_option
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
) -> None:
    """Grade the recorded runs of a folder again, or a model that a FILE.py defines."""
    from vaebench.core.plugins import load_plugins

    load_plugins(plugins)
    if budget and (keep or out):
        raise InputError("--budget grades nothing: leave out --keep and --out")
    if target.suffix == ".py":
        if runs or keep:
            raise InputError("--run and --keep are for recorded runs; a model is kept by --out")
        _grade_model(target, samples, gradings, budget, out, progress)
    else:
        from vaebench.running.regrade import Request

        _grade_runs(Request(target, runs, samples, gradings), keep, budget, out, progress)


def _grade_runs(
    request: Request, keep: bool, budget: bool, out: Path | None, progress: Progress
) -> None:
    from vaebench import results
    from vaebench.running.regrade import estimate_seconds, regrade

    if budget:
        return _show_budget(estimate_seconds(request))
    if out:
        results.writable(out)
    rows = regrade(request, keep=keep, progress=progress)
    refused = [row for row in rows if not row["metric"]]
    usual = ("nll", "elbo")
    shown = [row for row in rows if row["metric"] in usual or (request.gradings and row["metric"])]
    print_table("", [{k: _cell(row[k]) for k in SHOWN} for row in shown])
    if out:
        print_line(results.write_rows(out, "evaluation", rows))
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
) -> None:
    from vaebench.running.external import estimate_seconds, grade, read

    settings: dict[str, Any] = {} if samples is None else {"num_samples": samples}
    entrant = read(path, **settings, **({"gradings": gradings} if gradings else {}))
    if budget:
        return _show_budget(estimate_seconds(entrant))
    with progress(f"grading {path.name}", 0):
        record = grade(entrant, out)
    figures = [{k: _cell(getattr(m, k)) for k in FIGURE} for m in record.metrics]
    print_table(record.labels.variant, figures)
    if out:
        print_line(out / "runs" / f"{record.run}.json")
    return None


def _show_budget(seconds: dict[str, float]) -> None:
    """Print the time that each grading is estimated to take, and the sum."""
    lines = [*seconds.items(), ("in all", sum(seconds.values()))]
    print_table("estimated", [{"grading": name, "time": _time(value)} for name, value in lines])


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 90 else f"{seconds / 60:.1f} min"
