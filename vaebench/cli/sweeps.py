"""The command that tunes the variants of a study."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vaebench.cli.as_json import print_json
from vaebench.cli.dry_runs import show_sweep
from vaebench.cli.group import main, one_line
from vaebench.cli.options import PATH, dry_run_option, json_option, study_options
from vaebench.cli.show import print_line, print_lines, print_table
from vaebench.core.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from vaebench.running.meter import Progress


AMOUNTS = ("trials", "steps", "decoder_evaluations", "seconds")
"""The options that say a budget, one of them at a time."""
OUTPUTS = ("trials.csv", "pareto.csv", "tuned.csv", "best.toml", "figures")
"""What a sweep may leave in its folder for people to look at."""


@main.command()
@click.argument("study", type=PATH)
@click.option(
    "--trials",
    type=int,
    metavar="N",
    help="How many settings are tried for each variant, those of earlier calls included.",
)
@click.option(
    "--steps",
    type=int,
    metavar="N",
    help="The budget of each variant in training steps, in the place of --trials.",
)
@click.option(
    "--decoder-evaluations",
    type=int,
    metavar="N",
    help="The budget of each variant in evaluations of the decoder: steps x samples x batch size.",
)
@click.option(
    "--seconds", type=float, help="The budget of each variant in seconds of training, as timed."
)
@click.option(
    "--storage",
    default="",
    metavar="URL",
    help="A database that keeps the trials, as Optuna names it. Default: OUT/sweep.journal.",
)
@click.option(
    "--out",
    type=PATH,
    help="The results folder. Default: results/runs/NAME, by the name in the study.",
)
@click.option("--timings/--no-timings", default=True, help="Whether the final runs are timed.")
@click.option(
    "--figures/--no-figures", default=True, help="Whether each search is drawn as figures."
)
@dry_run_option
@study_options
@json_option
def sweep(
    study: Path,
    storage: str,
    out: Path | None,
    timings: bool,
    figures: bool,
    dry_run: bool,
    overrides: tuple[str, ...],
    listen: tuple[str, ...],
    progress: Progress,
    as_json: bool,
    **how: Any,
) -> None:
    """Tune every variant of a study, and compare.

    The hyperparameters of each variant of STUDY are searched with the same budget. Tuned and
    untuned variants are then trained on fresh seeds and compared. A sweep goes on where
    it was stopped. The budget is one of the four options, or stands in the study, [sweep.budget].
    """
    try:
        from vaebench.running.sweeps.sweep import sweep as tune
    except ModuleNotFoundError as error:
        raise InputError(f"sweeps need {error.name}: install the extra, .[sweep]") from error
    from vaebench.config.study import read
    from vaebench.config.sweep import budget_of
    from vaebench.core.plugins import load_plugins
    from vaebench.running.listeners import audience_of, named, opened

    load_plugins(how["plugins"])
    read_study = read(study, overrides)
    folder = out or Path("results/runs") / read_study.name
    budget = budget_of({name: how.pop(name) for name in AMOUNTS})
    if dry_run:
        from vaebench.running.sweeps.dry_run import dry_run as foretell

        named(listen)
        show_sweep(foretell(read_study, folder, budget, **how), as_json)
        return
    with audience_of(opened(listen)) as audience:
        trials = tune(
            read_study,
            folder,
            budget,
            storage=storage,
            **how,
            timings=timings,
            figures=figures,
            progress=progress,
            audience=audience,
        )
    tuned, words = _tuned(folder)
    files = [folder / name for name in OUTPUTS if (folder / name).exists()]
    if as_json:
        print_json(trials=trials, tuned=tuned, files=files)
    _say_lost(folder, trials)
    if not as_json:
        _show_tuned(folder, tuned, words)
        print_lines(files)


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


def _tuned(folder: Path) -> tuple[pd.DataFrame, list[str]]:
    """Each variant tuned beside untuned, which is written too, and whether the ranking changes."""
    import pandas as pd

    from vaebench import results
    from vaebench.report import examples_of
    from vaebench.report.evidence import titles_of
    from vaebench.report.spaces import titled
    from vaebench.report.tuning import ranking, tuned_beside_untuned

    tunings = results.read_tuning(folder)
    if not any(tuning.untuned for tuning in tunings):
        return pd.DataFrame(), []
    rows, examples = results.load(folder), examples_of(folder)
    table = tuned_beside_untuned(rows, tunings, examples)
    results.write_atomically(folder / "tuned.csv", table.to_csv(index=False).encode())
    return table, ranking(titled(rows, titles_of(folder, rows)), tunings, examples)


def _show_tuned(folder: Path, table: pd.DataFrame, words: list[str]) -> None:
    """Print each variant tuned beside untuned, where final runs were made."""
    from vaebench import results
    from vaebench.report.evidence import titles_of
    from vaebench.report.spaces import titled
    from vaebench.report.tuning import printable

    if not table.empty:
        names = titles_of(folder, results.load(folder))
        print_table("tuned beside untuned, test NLL (nats)", printable(titled(table, names)))
        print_lines(words)
