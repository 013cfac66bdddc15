"""Commands that run a study and read its results."""

from __future__ import annotations

import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vaebench.cli.as_json import print_json
from vaebench.cli.dry_runs import show_dry_run
from vaebench.cli.group import main
from vaebench.cli.options import (
    PATH,
    dry_run_option,
    json_option,
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
    from vaebench.running.meter import Progress


@main.command()
@click.argument("study", type=PATH)
@click.option(
    "--out",
    type=PATH,
    help="The results folder. Default: results/runs/NAME, by the name in the study.",
)
@click.option(
    "--timings/--no-timings",
    default=True,
    help="Whether a training step of each variant is timed once all are trained.",
)
@dry_run_option
@study_options
@json_option
def run(
    study: Path,
    out: Path | None,
    timings: bool,
    dry_run: bool,
    overrides: tuple[str, ...],
    listen: tuple[str, ...],
    progress: Progress,
    as_json: bool,
    **how: Any,
) -> None:
    """Train, grade and time every run of a study.

    STUDY is a TOML file, as `vaebench new study` writes it. Stop it when you like and give the same
    command again: runs that the results folder holds are not trained twice.
    """
    with paused():
        from vaebench.config.study import read
        from vaebench.core.plugins import load_plugins
        from vaebench.running.budget import expanded, note
        from vaebench.running.harness import run_all
        from vaebench.running.listeners import audience_of, opened

    load_plugins(how["plugins"])
    read_study = read(study, overrides)
    folder = out or Path("results/runs") / read_study.name
    if dry_run:
        from vaebench.running.dry_run import dry_run as foretell

        return show_dry_run(foretell(read_study, folder, **how), as_json)
    configs = expanded(read_study)
    with audience_of(opened(listen)) as audience:
        ended = run_all(
            configs,
            folder,
            read_study.name,
            timings=timings,
            progress=progress,
            audience=audience,
            **how,
        )
    note(folder, read_study, configs)
    lost = [run_id for run_id, status in ended.items() if status != "done"]
    if as_json:
        print_json(folder=folder, runs=_ends(folder, ended))
    else:
        print_line(f"{len(ended) - len(lost)} of {len(ended)} runs done, recorded in {folder}/runs")
        _say_early_ends(folder, ended)
    return _finish(folder, lost)


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
    from vaebench.report.tables import BRIEF, footnotes, printable, title_of

    table, paths = write_report(folder, out or folder / "report", target, reference, formats)
    if as_json:
        print_json(rankings=table, files=paths)
        return
    for _, part in table.groupby("observation_space"):
        print_table(title_of(part), printable(part, BRIEF).astype(str).to_dict("records"))
        print_lines(footnotes(part, BRIEF))
    print_lines(paths)


@main.command()
@click.argument("study", type=PATH)
@click.option(
    "--samples",
    callback=whole_numbers,
    default="1,4,16,64",
    show_default=True,
    metavar="NUMBERS",
    help="Each number K of posterior samples that gradients are measured with.",
)
@click.option(
    "--replicas",
    default=256,
    show_default=True,
    metavar="N",
    help="How many independent gradients are behind each figure.",
)
@click.option(
    "--at",
    callback=whole_numbers,
    default="",
    metavar="STEPS",
    help="After how many training steps gradients are measured, such as 0,500. Default: after 2% "
    "of training, and after all.",
)
@click.option(
    "--out", type=PATH, help="The folder of the files. Default: results/runs/NAME-gradients."
)
@set_option
@plugin_option
@quiet_option
@json_option
def gradients(
    study: Path,
    samples: list[int],
    replicas: int,
    at: list[int],
    out: Path | None,
    overrides: tuple[str, ...],
    plugins: tuple[str, ...],
    progress: Progress,
    as_json: bool,
) -> None:
    """Measure bias and variance of gradients.

    Bias, variance and signal-to-noise of the gradient of each variant of STUDY, at one set of
    weights, against the number of samples K and against cost.
    """
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
    files = write_gradients(rows, folder)
    if as_json:
        print_json(gradients=rows, files=files)
    else:
        for title, lines in printable(rows):
            print_table(title, lines)
        print_lines([*refusals(rows), *files])
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


def _ends(folder: Path, runs: Collection[str]) -> list[dict[str, Any]]:
    """How each of these runs ended, and why one was lost."""
    from vaebench import results

    return [
        {
            "run": record.run,
            "dataset": record.labels.dataset,
            "likelihood": record.labels.likelihood,
            "variant": record.labels.variant,
            "seed": record.labels.seed,
            "status": record.status,
            "reason": record.reason,
        }
        for record in results.records(folder)
        if record.run in runs
    ]


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
