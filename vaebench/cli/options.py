"""Options that several commands share, and how their texts are converted."""

from __future__ import annotations

import errno
import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from vaebench.cli.progress import progress_for


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
        help="A file with your own objectives, networks or others. May be repeated.",
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
        metavar="NAME[:TARGET]",
        help="Send learning curves and grades elsewhere too while runs train: tensorboard:FOLDER, "
        "trackio:PROJECT, or a listener of a --plugin. May be repeated.",
    )(command)


def set_option(command: Any) -> Any:
    return click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Set a key of the study, e.g. axes.seed=3. May be repeated.",
    )(command)


def whole_numbers(context: click.Context, option: click.Parameter, text: str) -> list[int]:
    """The numbers of a text such as 1,4,16; none for an empty one."""
    try:
        return [int(part) for part in text.split(",")] if text else []
    except ValueError as error:
        raise click.BadParameter(f"{text!r} must be whole numbers, as in 1,4,16.") from error


def toml_values(context: click.Context, option: click.Parameter, texts: Sequence[str]) -> list[Any]:
    """Each text as a TOML value: a table, a number, or a word."""
    from vaebench.config.toml import toml_value

    return [toml_value(text) for text in texts]


def cluster_options(command: Any) -> Any:
    """Options of executors beyond this machine, which the command takes as one `cluster`."""

    @functools.wraps(command)
    def with_cluster(*args: Any, ray_address: str, slurm: tuple[str, ...], **more: Any) -> Any:
        from vaebench.running.cluster import cluster

        return command(*args, cluster=cluster(ray_address, slurm), **more)

    address = click.option(
        "--ray-address",
        default="",
        metavar="HOST:PORT",
        help="The head of a Ray cluster. Default: $RAY_ADDRESS, or the one on this machine.",
    )
    settings = click.option(
        "--slurm",
        multiple=True,
        metavar="KEY=VALUE",
        help="What to ask SLURM for: partition, minutes, memory_gb, cores, gpus, at_once, stacks.",
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
            help="Where runs run: local, inline, ray or slurm.",
        ),
        click.option("--workers", type=int, help="Worker processes. Default: one per core."),
        click.option(
            "--compile",
            "compiles",
            default="auto",
            show_default=True,
            help="Compile training steps: auto (where it pays), always or never.",
        ),
        plugin_option,
        listen_option,
        quiet_option,
    ):
        command = option(command)
    return command
