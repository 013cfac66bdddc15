"""Loads objectives, likelihoods and priors of the user: files by path, packages by entry point."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from importlib.metadata import entry_points
from pathlib import Path

from vaebench.core.arguments import items
from vaebench.core.sources import load_file, names

GROUP = "vaebench.plugins"
"""Entry points of this group are loaded in every process."""


def load_plugins(files: Iterable[str | Path]) -> list[str]:
    """Run each file and installed entry point of the group vaebench.plugins, once per process.

    Their decorators register what they define. Returns the files as text. Raises InputError for
    what is no list of files, and for a file that cannot be run.
    """
    example = repr([str(files)] if isinstance(files, str | Path) else ["mine.py"])
    texts = list(map(str, items("plugins", files, (str, Path), example)))
    load_installed()
    for file in texts:
        load_file(file)
    return texts


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
def load_installed() -> int:
    """Load the plugins that are installed, once per process; returns how many there are."""
    plugins = entry_points(group=GROUP)
    for plugin in plugins:
        plugin.load()
    return len(plugins)
