"""Objectives and likelihoods from outside the package: files by path, packages by entry point."""

from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Iterable
from importlib.metadata import entry_points
from pathlib import Path

from vaebench.errors import InputError


def load_plugins(files: Iterable[str]) -> None:
    """Run each file and installed entry point of the group vaebench.plugins, once per process.

    Their decorators register what they define. Raises InputError for a file that cannot be run.
    """
    _load_installed()
    for file in files:
        _load_file(str(Path(file).resolve()))


@functools.cache
def _load_installed() -> None:
    for plugin in entry_points(group="vaebench.plugins"):
        plugin.load()


@functools.cache
def _load_file(file: str) -> None:
    name = f"vaebench_plugin_{Path(file).stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None or not Path(file).is_file():
        raise InputError(f"a plugin must be a Python file; got {file}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"plugin {file} must run; it raised {error!r}: correct it") from error
