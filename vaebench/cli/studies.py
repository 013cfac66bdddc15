"""Commands that run a study and read its results."""

from __future__ import annotations

import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vaebench.cli.group import main
from vaebench.cli.options import (
    PATH,
    plugin_option,
    quiet_option,
    set_option,
    study_options,
    whole_numbers,
)
from vaebench.cli.show import print_line, print_lines, print_table
from vaebench.core.collector import paused
from vaebench.core.errors import InputError

if TYPE_CHECKING:
    from vaebench.running.cluster import Cluster
    from vaebench.running.meter import Progress


@main.command()
@click.argument("study", type=PATH)
@click.option("--out", type=PATH, help="Default: results/runs/NAME.")
@click.option("--timings/--no-timings", default=True, help="Time every variant after training.")
@study_options
def run(
    study: Path,
    out: Path | None,
    timings: bool,
    overrides: tuple[str, ...],
    executor: str,
    workers: int | None,
    cluster: Cluster,
    compiles: str,
    plugins: tuple[str, ...],
    listen: tuple[str, ...],
    progress: Progress,
) -> None:
    """Train, evaluate and time every run of STUDY. Runs that OUT already holds are kept."""
    with paused():
        from vaebench.config.study import read
        from vaebench.core.plugins import load_plugins
        from vaebench.running.budget import expanded, note
        from vaebench.running.harness import run_all
        from vaebench.running.listeners import audience_of, opened

    load_plugins(plugins)
    read_study = read(study, overrides)
    configs = expanded(read_study)
    folder = out or Path("results/runs") / read_study.name
    with audience_of(opened(listen)) as audience:
        ended = run_all(
            configs,
            folder,
            read_study.name,
            executor=executor,
            workers=workers,
            cluster=cluster,
            plugins=plugins,
            compiles=compiles,
            timings=timings,
            progress=progress,
            audience=audience,
        )
    note(folder, read_study, configs)
    lost = [run_id for run_id, status in ended.items() if status != "done"]
    print_line(f"{len(ended) - len(lost)} of {len(ended)} runs done, recorded in {folder}/runs")
    _say_early_ends(folder, ended)
    _finish(folder, lost)


def names_of_formats(context: click.Context, option: click.Parameter, text: str) -> tuple[str, ...]:
    """The formats of a text such as html,latex."""
    from vaebench.report import FORMATS

    names = tuple(text.split(","))
    for name in names:
        if name not in FORMATS:
            raise click.BadParameter(f"{name!r} must be one of {', '.join(FORMATS)}.")
    return names


@main.command()
@click.argument("folder", type=PATH)
@click.option("--out", type=PATH, help="Default: FOLDER/report.")
@click.option(
    "--target",
    type=float,
    help="The validation ELBO to reach. Default: what half of the variants reach.",
)
@click.option(
    "--reference", metavar="VARIANT", help="Show differences to this variant, not to the best."
)
@click.option(
    "--format",
    "formats",
    callback=names_of_formats,
    default="html,csv,md,png",
    show_default=True,
    metavar="NAMES",
    help="Of html, csv, md, latex, png, svg and pdf; the last three are the figures.",
)
def report(
    folder: Path,
    out: Path | None,
    target: float | None,
    reference: str | None,
    formats: tuple[str, ...],
) -> None:
    """Write what the results in FOLDER show: a page, tables and figures."""
    from vaebench.report import write_report
    from vaebench.report.tables import BRIEF, footnotes, printable, title_of

    table, paths = write_report(folder, out or folder / "report", target, reference, formats)
    for _, part in table.groupby("observation_space"):
        print_table(title_of(part), printable(part, BRIEF).astype(str).to_dict("records"))
        print_lines(footnotes(part, BRIEF))
    print_lines(paths)


@main.command()
@click.argument("study", type=PATH)
@click.option(
    "--samples", callback=whole_numbers, default="1,4,16,64", show_default=True, help="Every K."
)
@click.option(
    "--replicas", default=256, show_default=True, help="Independent gradients behind each number."
)
@click.option(
    "--at",
    callback=whole_numbers,
    default="",
    metavar="STEPS",
    help="Training steps before each measurement, e.g. 0,500. Default: 2% of training, and all.",
)
@click.option("--out", type=PATH, help="Default: results/runs/NAME-gradients.")
@set_option
@plugin_option
@quiet_option
def gradients(
    study: Path,
    samples: list[int],
    replicas: int,
    at: list[int],
    out: Path | None,
    overrides: tuple[str, ...],
    plugins: tuple[str, ...],
    progress: Progress,
) -> None:
    """Measure bias, variance and signal-to-noise of each variant's gradient, against K and cost."""
    from vaebench import results
    from vaebench.config.study import read
    from vaebench.core.plugins import load_plugins
    from vaebench.diagnostics.gradients import measure, plan, read_configs

    try:
        from vaebench.report.gradients import printable, refusals, write_gradients
    except ModuleNotFoundError as error:
        raise InputError(f"figures need {error.name}: install the extra, .[report]") from error

    load_plugins(plugins)
    read_study = read(study, overrides)
    planned = plan(read_study.name, read_configs(read_study, samples), samples, replicas, at)
    folder = out or Path("results/runs") / f"{read_study.name}-gradients"
    results.writable(folder)
    with progress(f"measuring {len(planned.variants)} variants", planned.num_cells) as meter:
        rows = measure(planned, meter.on_steps)
    for title, lines in printable(rows):
        print_table(title, lines)
    print_lines([*refusals(rows), *write_gradients(rows, folder)])
    if any(row["status"] == "failed" for row in rows):
        sys.exit(1)


def _say_early_ends(folder: Path, runs: Collection[str]) -> None:
    """Print how many of these runs stopped early, and which weights they are graded by."""
    from vaebench import results

    trained = (record.training for record in results.records(folder) if record.run in runs)
    if not any(of_run and of_run.kept < of_run.num_steps for of_run in trained):
        return  # without pandas, whose import takes as long as a small run
    from vaebench.report.training import ended

    rows = results.load(folder).drop_duplicates("run")
    if words := ended(rows[rows["run"].isin(runs)]):
        print_line(words)


def _finish(folder: Path, lost: list[str]) -> None:
    """Print which runs were lost and why; exit with status 1 where there are any."""
    from vaebench import results

    for record in results.records(folder):
        if record.run in lost:
            reason = (record.reason.strip().splitlines() or ["no reason is recorded"])[-1]
            print_line(
                f"{record.status}: {record.labels.variant} seed {record.labels.seed} "
                f"({record.run}): {reason}",
                err=True,
            )
    if lost:
        sys.exit(1)
