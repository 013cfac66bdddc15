"""The command that runs a study."""

from __future__ import annotations

import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vaebench.cli.as_json import print_json
from vaebench.cli.dry_runs import show_dry_run
from vaebench.cli.group import IS_FRESH, main
from vaebench.cli.options import (
    PATH,
    dry_run_option,
    json_option,
    study_options,
)
from vaebench.cli.progress import progress_for
from vaebench.cli.show import print_line
from vaebench.core.collector import paused

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
        from vaebench.config.study import num_combinations, read
        from vaebench.core.plugins import load_installed, load_plugins
        from vaebench.results import kept
        from vaebench.running.budget import expanded, note
        from vaebench.running.executors import EXECUTORS
        from vaebench.running.harness import run_all
        from vaebench.running.listeners import audience_of, named, opened
        from vaebench.running.machine import num_cores

    has_plugins = bool(load_plugins(how["plugins"]) or load_installed())
    read_study = read(study, overrides)
    folder = out or Path("results/runs") / read_study.name
    if dry_run:
        from vaebench.running.dry_run import dry_run as foretell

        named(listen)
        return show_dry_run(foretell(read_study, folder, timings=timings, **how), as_json)
    # Then nothing but imports has happened in this process, and it can be forked.
    is_fresh = click.get_current_context().meta.get(IS_FRESH, False) and not has_plugins
    num_left = num_combinations(read_study) - len(kept(folder, "runs"))
    num_ahead = min(how["workers"] or num_cores(), num_left) if is_fresh else 0
    with EXECUTORS[how["executor"]].ahead(num_ahead):
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
        if len(lost) < len(ended) and progress is not progress_for(quiet=True):
            print_line(f"next: vaebench report {folder}, vaebench compare {folder}")
    return _finish(folder, lost)


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
