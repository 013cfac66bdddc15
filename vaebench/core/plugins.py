"""Loads objectives, likelihoods and priors of the user: files by path, packages by entry point."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from importlib.metadata import entry_points

from vaebench.core.errors import InputError
from vaebench.core.sources import load_file, names

GROUP = "vaebench.plugins"
"""Entry points of this group are loaded in every process."""


def load_plugins(files: Iterable[str]) -> None:
    """Run each file and installed entry point of the group vaebench.plugins, once per process.

    Their decorators register what they define. Raises InputError for a file that cannot be run.
    """
    if isinstance(files, str):
        raise InputError(f"plugins must be a list of files; got {files!r}: write [{files!r}]")
    _load_installed()
    for file in files:
        load_file(file)


def known_to_workers(module: str, files: Iterable[str]) -> bool:
    """Whether a worker that loads these files registers what this module defines."""
    package = module.partition(".")[0]
    return (
        package == "vaebench"
        or any(module in names(file) for file in files)
        # Last, as it reads the metadata of all that is installed.
        or any(package == plugin.module.partition(".")[0] for plugin in entry_points(group=GROUP))
    )


@functools.cache
def _load_installed() -> None:
    for plugin in entry_points(group=GROUP):
        plugin.load()
