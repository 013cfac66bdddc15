"""Objectives, likelihoods and priors from outside: files by path, packages by entry point."""

from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Iterable
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from vaebench.errors import InputError

GROUP = "vaebench.plugins"
"""Entry points of this group are loaded in every process."""


def load_plugins(files: Iterable[str]) -> None:
    """Run each file and installed entry point of the group vaebench.plugins, once per process.

    Their decorators register what they define. Raises InputError for a file that cannot be run.
    """
    _load_installed()
    for file in files:
        load_file(file)


def load_file(file: str) -> ModuleType:
    """The module that a file is, run once per process. Raises InputError where it cannot be."""
    return _load_file(str(Path(file).resolve()))


def known_to_workers(module: str, files: Iterable[str]) -> bool:
    """Whether a worker that loads these files has this module's registrations."""
    installed = (plugin.module.partition(".")[0] for plugin in entry_points(group=GROUP))
    return module in {_module_name(file) for file in files} or module.partition(".")[0] in {
        "vaebench",
        *installed,
    }


@functools.cache
def _load_installed() -> None:
    for plugin in entry_points(group=GROUP):
        plugin.load()


def _module_name(file: str) -> str:
    return f"vaebench_plugin_{Path(file).stem}"


@functools.cache
def _load_file(file: str) -> ModuleType:
    name = _module_name(file)
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None or not Path(file).is_file():
        raise InputError(f"it must be a Python file; got {file}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(f"{file} must run; it raised {error!r}: correct it") from error
    return module
