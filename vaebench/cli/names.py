"""Names of registered entries, read off the sources: to complete a word must not import torch."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable

HOMES = {
    "objectives": ("objectives", "objective"),
    "likelihoods": ("models/likelihoods", "likelihood"),
    "posteriors": ("models/posteriors", "posterior"),
    "priors": ("models/priors", "prior"),
    "models": ("models/networks", "model", "stacked_model"),
    "schedules": ("config/schedules.py", "schedule"),
    "gradings": ("evaluation", "grading"),
    "executors": ("running/executors", "executor"),
    "listeners": ("running/listeners", "listener"),
}
"""Where the entries of a kind are defined, and by which decorators."""


def entry_names(kind: str) -> list[str]:
    """The names of a kind's entries that come with the package, in alphabetical order."""
    place, *decorators = HOMES[kind]
    home = files("vaebench").joinpath(*place.split("/"))
    return sorted(name for source in _sources(home) for name in _decorated(source, decorators))


def _sources(place: Traversable) -> Iterator[str]:
    """The texts of a Python file, or of all within a folder."""
    if place.is_file():
        yield from [place.read_text()] if place.name.endswith(".py") else []
    else:
        for inner in place.iterdir():
            yield from _sources(inner)


def _decorated(source: str, decorators: Sequence[str]) -> Iterator[str]:
    """The names under which a file's decorated functions and classes register."""
    if not any(f"@{decorator}" in source for decorator in decorators):
        return
    for node in ast.parse(source).body:
        for each in getattr(node, "decorator_list", ()):
            function = each.func if isinstance(each, ast.Call) else each
            if isinstance(function, ast.Name) and function.id in decorators:
                yield _given(each) or getattr(node, "name", "")


def _given(decorator: ast.expr) -> str:
    """The name that a decorator is given; "" where the function's own counts."""
    for keyword in decorator.keywords if isinstance(decorator, ast.Call) else ():
        if keyword.arg == "name" and isinstance(keyword.value, ast.Constant):
            return str(keyword.value.value)
    return ""
