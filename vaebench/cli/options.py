"""Options that several commands share, and how their texts are converted."""

from __future__ import annotations

import errno
import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from vaebench.cli.completion import names_of, words
from vaebench.cli.progress import progress_for
from vaebench.core.collector import paused
from vaebench.core.settings import wait_passively


class PathName(click.Path):
    """A path that a file can have: no NUL, and no longer than the system takes."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(
        self, value: Any, param: click.Parameter | None, context: click.Context | None
    ) -> Any:
        try:
            os.lstat(value)
        except (OSError, ValueError) as error:
            if getattr(error, "errno", errno.ENAMETOOLONG) == errno.ENAMETOOLONG:
                self.fail(f"no file can have this name: {error}.", param, context)
        return super().convert(value, param, context)


PATH = PathName()


def as_texts(context: click.Context, option: click.Parameter, paths: Sequence[Path]) -> list[str]:
    """Paths as text, for functions that take names of files."""
    return [str(path) for path in paths]


def plugin_option(command: Any) -> Any:
    return click.option(
        "--plugin",
        "plugins",
        type=PATH,
        multiple=True,
        callback=as_texts,
        metavar="FILE.py",
        help="A Python file with entries of your own, as `vaebench new` writes them: objectives, "
        "likelihoods, networks and others. May be repeated.",
    )(command)


def dry_run_option(command: Any) -> Any:
    return click.option(
        "--dry-run",
        is_flag=True,
        help="Say what would be trained, how, and about how long it takes; write nothing.",
    )(command)


def json_option(command: Any) -> Any:
    """--json, which the command takes as `as_json`."""
    return click.option(
        "--json",
        "as_json",
        is_flag=True,
        help="Print one JSON object and nothing else, every figure unrounded.",
    )(command)


def quiet_option(command: Any) -> Any:
    """--quiet, which the command takes as `progress`: how it shows its progress."""
    return click.option(
        "-q",
        "--quiet",
        "progress",
        is_flag=True,
        callback=lambda context, option, quiet: progress_for(quiet),
        help="Show no progress: results, warnings and errors alone.",
    )(command)


def listen_option(command: Any) -> Any:
    """--listen, which the command takes as `listen`."""
    return click.option(
        "--listen",
        multiple=True,
        shell_complete=names_of("listeners"),
        metavar="NAME[:TARGET]",
        help="Send learning curves and grades elsewhere too while runs train: tensorboard:FOLDER, "
        "trackio:PROJECT, or a listener of a --plugin. May be repeated.",
    )(command)


def workers_option(command: Any) -> Any:
    return click.option(
        "--workers",
        type=int,
        metavar="N",
        help="How many processes train at once. Default: one for each core, or each GPU.",
    )(command)


def set_option(command: Any) -> Any:
    return click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Change a setting of the study for this call, by its place in the file: "
        "base.train.num_steps=500, or 'axes.seed=[0, 1, 2]'. May be repeated.",
    )(command)


def whole_numbers(context: click.Context, option: click.Parameter, text: str) -> list[int]:
    """The numbers of a text such as 1,4,16; none for an empty one."""
    try:
        return [int(part) for part in text.split(",")] if text else []
    except ValueError as error:
        raise click.BadParameter(f"{text!r} must be whole numbers, as in 1,4,16.") from error


def toml_values(context: click.Context, option: click.Parameter, texts: Sequence[str]) -> list[Any]:
    """Each text as a TOML value: a table, a number, or a word."""
    if not texts:
        return []  # without an import that takes a second
    from vaebench.config.toml import toml_value

    return [toml_value(text) for text in texts]


def cluster_options(command: Any) -> Any:
    """Options of executors beyond this machine, which the command takes as one `cluster`."""

    @functools.wraps(command)
    def with_cluster(*args: Any, ray_address: str, slurm: tuple[str, ...], **more: Any) -> Any:
        wait_passively()
        with paused():
            from vaebench.running.cluster import cluster

        return command(*args, cluster=cluster(ray_address, slurm), **more)

    address = click.option(
        "--ray-address",
        default="",
        metavar="HOST:PORT",
        help="The head of the Ray cluster, for --executor ray. Default: $RAY_ADDRESS, or else one "
        "that is started on this machine.",
    )
    settings = click.option(
        "--slurm",
        multiple=True,
        metavar="KEY=VALUE",
        help="What each task asks SLURM for, with --executor slurm: partition, minutes, memory_gb, "
        "cores or gpus; at_once: tasks at the same time; stacks: stacks of runs in a task. May be "
        "repeated.",
    )
    return address(settings(with_cluster))


def study_options(command: Any) -> Any:
    """The options of every command that runs a study."""
    for option in (
        cluster_options,
        set_option,
        click.option(
            "--executor",
            default="local",
            show_default=True,
            shell_complete=names_of("executors"),
            help="Where runs train: local (processes on this machine), inline (this process, for "
            "debuggers), ray or slurm (a cluster).",
        ),
        workers_option,
        click.option(
            "--compile",
            "compiles",
            default="auto",
            show_default=True,
            shell_complete=words("auto", "always", "never"),
            help="Whether training steps are compiled to native code: auto (where that saves more "
            "time than compiling takes), always, or never.",
        ),
        plugin_option,
        listen_option,
        quiet_option,
    ):
        command = option(command)
    return command
