"""The command line: parse, call one function, print.

Exit status: 0 done, 1 some runs failed (and are recorded), 2 wrong usage or input. Heavy imports
stay inside the commands, so that --help is immediate.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import click

from vaebench import __version__
from vaebench.errors import InputError, near_match

if TYPE_CHECKING:
    from vaebench.stack import OnSteps

KINDS_WITH_FACTS = ("objectives", "likelihoods", "priors", "posteriors")


class Group(click.Group):
    """Reports a user's mistake in one line, with status 2."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except InputError as error:
            _refuse(context, str(error))
        except click.UsageError as error:
            _refuse(context, f"{error.format_message()} See --help.")

    def resolve_command(self, context: click.Context, args: list[str]) -> Any:
        if args and self.get_command(context, args[0]) is None:
            raise InputError(f"unknown command {args[0]!r}; {near_match(args[0], self.commands)}")
        return super().resolve_command(context, args)


def _refuse(context: click.Context, message: str) -> NoReturn:
    click.echo(f"vaebench: {' '.join(message.split())}", err=True)
    context.exit(2)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Benchmark and ablation suite for the objectives of variational autoencoders."""


def _plugin_option(command: Any) -> Any:
    return click.option(
        "--plugin",
        "plugins",
        multiple=True,
        metavar="FILE.py",
        help="A file with objectives, likelihoods or priors of your own. May be repeated.",
    )(command)


def _set_option(command: Any) -> Any:
    return click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Set a key of the study, e.g. axes.seed=3. May be repeated.",
    )(command)


def _whole_numbers(context: click.Context, option: click.Parameter, text: str) -> list[int]:
    """1,4,16 as numbers; none where nothing is given."""
    try:
        return [int(part) for part in text.split(",")] if text else []
    except ValueError as error:
        raise click.BadParameter(f"{text!r} must be whole numbers, as in 1,4,16.") from error


def _study_options(command: Any) -> Any:
    """The options of every command that runs a study."""
    for option in (
        _set_option,
        click.option(
            "--executor",
            default="local",
            show_default=True,
            help="Where runs run: local, inline or ray.",
        ),
        click.option("--workers", type=int, help="Worker processes. Default: one per core."),
        _plugin_option,
    ):
        command = option(command)
    return command


@main.command("list")
@click.argument("kind", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print a page in Markdown.")
@_plugin_option
def list_(kind: str | None, as_json: bool, as_markdown: bool, plugins: tuple[str, ...]) -> None:
    """List what is registered, of one KIND or of all."""
    from vaebench.catalogue import catalogue, markdown
    from vaebench.plugins import load_plugins

    load_plugins(plugins)
    kinds = catalogue()
    if kind is not None and kind not in kinds:
        raise InputError(f"unknown kind {kind!r}; {near_match(kind, kinds)}")
    chosen = {kind: kinds[kind]} if kind else kinds
    if as_json or as_markdown:
        click.echo(json.dumps(chosen, indent=1) if as_json else markdown(chosen), nl=as_json)
        return
    for name, entries in chosen.items():
        brief = [
            {k: v for k, v in entry.items() if k not in ("same as", "source")} for entry in entries
        ]
        _print_table(name, brief)


@main.command()
@click.argument("study", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Default: results/runs/NAME.")
@click.option("--timings/--no-timings", default=True, help="Time every variant after training.")
@_study_options
def run(
    study: Path,
    out: Path | None,
    timings: bool,
    overrides: tuple[str, ...],
    executor: str,
    workers: int | None,
    plugins: tuple[str, ...],
) -> None:
    """Train, evaluate and time every run of STUDY. Runs that OUT already holds are kept."""
    from vaebench.harness import time_all, train_all
    from vaebench.plugins import load_plugins
    from vaebench.study import expand, read

    load_plugins(plugins)
    read_study = read(study, overrides)
    configs = expand(read_study)
    folder = out or Path("results/runs") / read_study.name
    ended = train_all(
        configs,
        folder,
        read_study.name,
        executor=executor,
        workers=workers,
        plugins=plugins,
        progress=_progress,
    )
    if timings:
        time_all(configs, folder, read_study.name, progress=_progress)
    lost = [run_id for run_id, status in ended.items() if status != "done"]
    click.echo(f"{len(ended) - len(lost)} of {len(ended)} runs done, recorded in {folder}/runs")
    _finish(folder, lost)


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Default: FOLDER/report.")
def report(folder: Path, out: Path | None) -> None:
    """Write tables and figures of the results in FOLDER."""
    from vaebench.report import write_report
    from vaebench.report.tables import BRIEF, printable

    table, paths = write_report(folder, out or folder / "report")
    for space, part in table.groupby("observation_space"):
        _print_table(str(space), printable(part, BRIEF).astype(str).to_dict("records"))
    click.echo(
        "± is the half-width of the 95% interval over seeds. =1: the paired difference from "
        "the first has an interval that includes 0."
    )
    click.echo("\n".join(str(path) for path in paths))


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--metric", default="nll", show_default=True, help="What to compare.")
def compare(folder: Path, metric: str) -> None:
    """Say how each variant in FOLDER differs from the best one, paired by seed."""
    from vaebench import results
    from vaebench.report.tables import differences_in_words

    click.echo("\n".join(differences_in_words(results.load(folder), metric)))


@main.command()
@click.argument("names", nargs=-1)
@click.option("--kind", type=click.Choice(KINDS_WITH_FACTS), help="Only those of one kind.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@_plugin_option
def certify(
    names: tuple[str, ...], kind: str | None, as_json: bool, plugins: tuple[str, ...]
) -> None:
    """Check what entries declare (all, or those NAMED) against exact answers.

    Then derive the ELBO, equation by equation, with the numbers of both sides.
    """
    from vaebench.certify import certify as check
    from vaebench.certify import derivation
    from vaebench.plugins import load_plugins

    load_plugins(plugins)
    findings, steps = check(names, kind), derivation()
    findings.sort(key=lambda finding: finding.holds)  # what fails comes first
    rows = {
        "findings": [finding.as_row() for finding in findings],
        "derivation": [step.as_row() for step in steps],
    }
    num_failing = sum(row["result"] != "holds" for part in rows.values() for row in part)
    if as_json:
        click.echo(json.dumps(rows, indent=1))
    else:
        _print_table("declared facts, against exact answers", rows["findings"])
        _print_table("the ELBO, derived on the linear-Gaussian VAE", rows["derivation"])
        num_facts = len(findings) + len(steps)
        click.echo(f"{num_facts - num_failing} facts hold, {num_failing} fail")
    if num_failing:
        sys.exit(1)


@main.command()
@click.argument("study", type=click.Path(path_type=Path))
@click.option(
    "--samples", callback=_whole_numbers, default="1,4,16,64", show_default=True, help="Every K."
)
@click.option(
    "--replicas", default=256, show_default=True, help="Independent gradients behind each number."
)
@click.option(
    "--at",
    callback=_whole_numbers,
    default="",
    metavar="STEPS",
    help="Training steps before each measurement, e.g. 0,500. Default: 2% of training, and all.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Default: results/runs/NAME-gradients."
)
@_set_option
@_plugin_option
def gradients(
    study: Path,
    samples: list[int],
    replicas: int,
    at: list[int],
    out: Path | None,
    overrides: tuple[str, ...],
    plugins: tuple[str, ...],
) -> None:
    """Measure bias, variance and signal-to-noise of each variant's gradient, against K and cost."""
    from vaebench.gradients import measure, plan, read_configs
    from vaebench.plugins import load_plugins
    from vaebench.study import read

    try:
        from vaebench.report.gradients import prepare, printable, refusals, write_gradients
    except ModuleNotFoundError as error:
        raise InputError(f"figures need {error.name}: install the extra, .[report]") from error

    load_plugins(plugins)
    read_study = read(study, overrides)
    planned = plan(read_study.name, read_configs(read_study, samples), samples, replicas, at)
    folder = out or Path("results/runs") / f"{read_study.name}-gradients"
    prepare(folder)
    with _progress(f"measuring {len(planned.variants)} variants", planned.num_cells) as on_cells:
        rows = measure(planned, on_cells)
    for title, lines in printable(rows):
        _print_table(title, lines)
    click.echo("\n".join([*refusals(rows), *map(str, write_gradients(rows, folder))]))
    if any(row["status"] == "failed" for row in rows):
        sys.exit(1)


@main.command("effective-beta")
@click.option("--loss", type=click.Choice(["mse", "bce"]), default="mse", show_default=True)
@click.option("--scale", type=float, default=1.0, help="A factor on the reconstruction, e.g. 0.5.")
@click.option("--reduction", type=click.Choice(["sum", "mean"]), default="sum", show_default=True)
@click.option("--kl-weight", type=float, help="The weight on the KL there. Default: 1.")
@click.option(
    "--kl-reduction", type=click.Choice(["sum", "mean"]), default="sum", show_default=True
)
@click.option("--pixels", type=int, help="Values in an image, channels included.")
@click.option("--image-size", metavar="CxHxW", help="Instead of --pixels, e.g. 3x64x64.")
@click.option("--latent-dim", type=int, help="Latent dimensions.")
@click.option("--range", "white", type=float, default=1.0, help="255 for images in [0, 255].")
@click.option("--sigma", type=float, help="Of the Gaussian here. Default: the sigma implied there.")
@click.option("--beta", type=float, help="The reverse: the weight to use there for this beta.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def effective_beta(
    loss: Literal["mse", "bce"],
    scale: float,
    reduction: Literal["sum", "mean"],
    kl_weight: float | None,
    kl_reduction: Literal["sum", "mean"],
    pixels: int | None,
    image_size: str | None,
    latent_dim: int | None,
    white: float,
    sigma: float | None,
    beta: float | None,
    as_json: bool,
) -> None:
    """Translate a KL weight used elsewhere into the beta and sigma of this suite, and back.

    Elsewhere: scale * reconstruction + kl_weight * KL, both reduced over the batch in one way.
    """
    from vaebench.effective_beta import ForeignLoss, num_pixels, translate

    foreign = ForeignLoss(
        loss=loss,
        scale=scale,
        reduction=reduction,
        kl_reduction=kl_reduction,
        pixels=num_pixels(pixels, image_size),
        latent_dim=latent_dim,
        white=white,
    )
    found = translate(foreign, kl_weight=kl_weight, beta=beta, sigma=sigma).as_row()
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    _print_table("", [{k: f"{v:.6g}" for k, v in found.items() if v is not None}])
    click.echo("the loss there = factor * this suite's loss at beta and sigma + a constant")


@main.command()
@click.argument("study", type=click.Path(path_type=Path))
@click.option("--trials", type=int, required=True, help="Trials in all, those of before included.")
@click.option("--out", type=click.Path(path_type=Path), help="Default: results/runs/NAME.")
@_study_options
def sweep(
    study: Path,
    trials: int,
    out: Path | None,
    overrides: tuple[str, ...],
    executor: str,
    workers: int | None,
    plugins: tuple[str, ...],
) -> None:
    """Tune the variant of STUDY over its declared ranges. Goes on where it was stopped."""
    try:
        from vaebench.sweep import sweep as tune
    except ModuleNotFoundError as error:
        raise InputError(f"sweeps need {error.name}: install the extra, .[sweep]") from error
    from vaebench.plugins import load_plugins
    from vaebench.study import read

    load_plugins(plugins)
    read_study = read(study, overrides)
    folder = out or Path("results/runs") / read_study.name
    table = tune(
        read_study,
        folder,
        trials,
        executor=executor,
        workers=workers,
        plugins=plugins,
        progress=_progress,
    )
    shown = table.head(10).map(lambda v: f"{v:.5g}" if isinstance(v, float) else str(v))
    _print_table(f"best of {len(table)} trials", shown.to_dict("records"))
    click.echo(f"{folder}/trials.csv\n{folder}/best.toml")


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--run", "runs", multiple=True, metavar="ID", help="Only this run. May be repeated.")
@click.option("--samples", type=int, help="K of the NLL. Default: that of the runs.")
@click.option("--out", type=click.Path(path_type=Path), help="A folder for the rows, as JSON.")
@_plugin_option
def evaluate(
    folder: Path,
    runs: tuple[str, ...],
    samples: int | None,
    out: Path | None,
    plugins: tuple[str, ...],
) -> None:
    """Grade the recorded runs of FOLDER again, with another number of samples."""
    from vaebench import results
    from vaebench.plugins import load_plugins
    from vaebench.regrade import regrade

    load_plugins(plugins)
    with _progress("evaluating", 0):
        rows = regrade(folder, runs, samples)
    shown = [row for row in rows if row["metric"] in ("nll", "elbo")]
    keys = ("run", "likelihood", "variant", "seed", "metric", "value", "unit", "protocol")
    _print_table("", [{k: row[k] for k in keys} for row in shown])
    if out:
        click.echo(results.write_rows(out, "evaluation", rows))


@main.command()
@click.option("--compiled", is_flag=True, help="Time torch.compile too; it takes its time.")
@click.option("--out", type=click.Path(path_type=Path), help="A folder for the rows, as JSON.")
def kernels(compiled: bool, out: Path | None) -> None:
    """Check the fused operations against float64 on this machine, then time them."""
    from vaebench import results
    from vaebench.environment import default_device
    from vaebench.kernels import tables
    from vaebench.kernels.gate import gate
    from vaebench.kernels.race import race

    device = default_device()
    checks, times = gate(device), race(device, compiled=compiled)
    _print_table(f"correctness of what runs on {device}", tables.correctness_table(checks))
    _print_table("speed", tables.speed_table(times))
    for reason in tables.refusals(times):
        click.echo(f"not measured: {reason}")
    if device.type != "cuda":
        times += _compiled_kernels()
        click.echo("not measured on a GPU: this machine has none")
    if out:
        click.echo(results.write_rows(out, f"kernels-{device.type}", [*checks, *times]))
    if any(row["status"] != "passed" for row in checks):
        sys.exit(1)


def _compiled_kernels() -> list[dict[str, Any]]:
    """What the kernels compile to, printed one line each, for a machine without a GPU."""
    import importlib.util

    if importlib.util.find_spec("triton") is None or os.environ.get("TRITON_INTERPRET") == "1":
        click.echo("the kernels were not compiled: that needs triton, without TRITON_INTERPRET")
        return []
    from vaebench.kernels.resources import compiled_rows

    from vaebench.kernels.tables import resource_table

    rows = compiled_rows()
    _print_table("compiled for sm_90, float32, bytes per element", resource_table(rows))
    return [*rows]


@contextmanager
def _progress(what: str, total: int) -> Iterator[OnSteps]:
    """A progress bar on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total or None)
        yield lambda steps: bar.advance(task, steps)
        bar.update(task, total=total or 1, completed=total or 1)


def _finish(folder: Path, lost: list[str]) -> None:
    """Say which runs were lost and why; status 1 where there are any."""
    from vaebench import results

    for record in results.records(folder):
        if record.run in lost:
            reason = record.reason.strip().splitlines()[-1]
            click.echo(
                f"{record.status}: {record.labels.variant} seed {record.labels.seed} "
                f"({record.run}): {reason}",
                err=True,
            )
    if lost:
        sys.exit(1)


def _print_table(title: str, lines: Sequence[Mapping[Any, Any]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False)
    for heading in lines[0] if lines else ():
        table.add_column(str(heading), overflow="fold", no_wrap=heading == "name")
    for line in lines:
        table.add_row(*(escape(str(value)) for value in line.values()))  # KL[q] is no tag
    # A pipe or a file has no width to fit, and a folded number is hard to read.
    known = sys.stdout.isatty() or "COLUMNS" in os.environ
    Console(width=None if known else 280).print(table)


if __name__ == "__main__":
    main()
