"""The command that measures gradients."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vaebench.cli.as_json import print_json
from vaebench.cli.group import main
from vaebench.cli.options import (
    PATH,
    json_option,
    plugin_option,
    quiet_option,
    set_option,
    whole_numbers,
)
from vaebench.cli.show import print_lines, print_table
from vaebench.core.errors import InputError

if TYPE_CHECKING:
    from vaebench.running.meter import Progress


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
