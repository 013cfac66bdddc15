"""The command that tunes the variants of a study."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vaebench.cli.group import main, one_line
from vaebench.cli.options import PATH, study_options
from vaebench.cli.show import print_line, print_lines, print_table
from vaebench.core.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from vaebench.running.cluster import Cluster
    from vaebench.running.meter import Progress


@main.command()
@click.argument("study", type=PATH)
@click.option("--trials", type=int, help="Budget of every variant, earlier trials included.")
@click.option("--steps", type=int, help="The same in training steps.")
@click.option("--decoder-evaluations", type=int, help="In steps x samples x batch size.")
@click.option("--seconds", type=float, help="In seconds of training.")
@click.option("--storage", default="", metavar="URL", help="Default: OUT/sweep.journal.")
@click.option("--out", type=PATH, help="Default: results/runs/NAME.")
@click.option("--timings/--no-timings", default=True, help="Time the final runs.")
@click.option("--figures/--no-figures", default=True, help="Draw each search.")
@study_options
def sweep(
    study: Path,
    storage: str,
    out: Path | None,
    timings: bool,
    figures: bool,
    overrides: tuple[str, ...],
    executor: str,
    workers: int | None,
    cluster: Cluster,
    compiles: str,
    plugins: tuple[str, ...],
    listen: tuple[str, ...],
    progress: Progress,
    **budget: float | None,
) -> None:
    """Tune every variant of STUDY with the same budget, then compare tuned with untuned.

    Goes on where it was stopped. Without a budget here, the study says it in [sweep.budget].
    """
    try:
        from vaebench.running.sweeps.sweep import sweep as tune
    except ModuleNotFoundError as error:
        raise InputError(f"sweeps need {error.name}: install the extra, .[sweep]") from error
    from vaebench.config.study import read
    from vaebench.config.sweep import budget_of
    from vaebench.core.plugins import load_plugins
    from vaebench.running.listeners import audience_of, opened

    load_plugins(plugins)
    read_study = read(study, overrides)
    folder = out or Path("results/runs") / read_study.name
    with audience_of(opened(listen)) as audience:
        trials = tune(
            read_study,
            folder,
            budget_of(budget),
            storage=storage,
            executor=executor,
            workers=workers,
            cluster=cluster,
            plugins=plugins,
            compiles=compiles,
            timings=timings,
            figures=figures,
            progress=progress,
            audience=audience,
        )
    _say_lost(folder, trials)
    _show_tuned(folder)


def _say_lost(folder: Path, trials: pd.DataFrame) -> None:
    """Print how many trials were lost, and why the first was; status 1 where all were."""
    lost = trials[~trials["status"].isin(["done", "pruned"])]
    if lost.empty:
        return
    first = lost.iloc[0]
    best = ", so there is no best" if len(lost) == len(trials) else ""
    message = (
        f"{len(lost)} of {len(trials)} trials were lost{best}; why is in {folder}/trials.csv, as "
        f"for trial {first['trial']} of {first['variant']}, {first['status']}: {first['reason']}"
    )
    print_line(one_line(message), err=True)
    if len(lost) == len(trials):
        sys.exit(1)


def _show_tuned(folder: Path) -> None:
    """Print each variant tuned beside untuned, and whether that changes their ranking."""
    from vaebench import results
    from vaebench.report import examples_of
    from vaebench.report.evidence import titles_of
    from vaebench.report.spaces import titled
    from vaebench.report.tuning import printable, ranking, tuned_beside_untuned

    tunings = results.read_tuning(folder)
    if any(tuning.untuned for tuning in tunings):
        rows, examples = results.load(folder), examples_of(folder)
        table = tuned_beside_untuned(rows, tunings, examples)
        results.write_atomically(folder / "tuned.csv", table.to_csv(index=False).encode())
        names = titles_of(folder, rows)
        print_table("tuned beside untuned, test NLL (nats)", printable(titled(table, names)))
        print_lines(ranking(titled(rows, names), tunings, examples))
    outputs = ("trials.csv", "pareto.csv", "tuned.csv", "best.toml", "figures")
    print_lines(folder / name for name in outputs if (folder / name).exists())
