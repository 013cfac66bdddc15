"""Which of the user's own files a Python file imports, from its text, without running it."""

from __future__ import annotations

import ast
import functools
import re
import site
import sys
import sysconfig
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import SOURCE_SUFFIXES, ModuleSpec, PathFinder
from pathlib import Path


@dataclass(frozen=True)
class Module:
    """A file by its dotted name, as the user's imports write it."""

    name: str
    path: Path
    is_own: bool = False
    """Whether it is loaded with the imports of its folder, not with Python's."""

    @property
    def package(self) -> str:
        """The package that its relative imports start from."""
        parent, _, last = self.name.rpartition(".")
        return self.name if self.path.stem == "__init__" != last else parent

    def imports(self, text: bytes) -> Iterator[str]:
        """The dotted names that its text may import, at the top or within a function."""
        for node in ast.walk(_parsed(text)) if self.path.suffix in SOURCE_SUFFIXES else ():
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                parents = self.package.split(".") if node.level else []
                kept = parents[: len(parents) + 1 - node.level]
                base = ".".join(filter(None, [*kept, node.module]))
                yield from (f"{base}.{alias.name}".lstrip(".") for alias in node.names)
            elif isinstance(node, ast.Call) and (name := _imported_by(node)):
                yield f"{self.package}{name}".lstrip(".") if name.startswith(".") else name


def _imported_by(call: ast.Call) -> str:
    """The module that a call of import_module or __import__ names; "" for any other call.

    A relative name begins with one dot: with more, it is read as if with one.
    """
    function = getattr(call.func, "attr", getattr(call.func, "id", ""))
    arguments = [*call.args[:1], *(word.value for word in call.keywords if word.arg == "name")]
    name = getattr(arguments[0], "value", None) if arguments else None
    if function not in ("import_module", "__import__") or not isinstance(name, str):
        return ""
    return re.sub(r"^\.+", ".", name)


def _parsed(text: bytes) -> ast.AST:
    """The syntax tree of a text; an empty one where it cannot be parsed, as running it will say."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError):
            return ast.Module([], [])


def specs(name: str, within: Sequence[str] | None) -> Iterator[ModuleSpec]:
    """The spec of each package in a dotted name, then of the module, as far as they exist.

    `within`: the folders to look for the first in; None for where Python looks.
    """
    parts = name.split(".")
    for i in range(1, len(parts) + 1):
        spec = spec_of(".".join(parts[:i]), within)
        if spec is None:
            return
        yield spec
        if spec.submodule_search_locations is None:
            return
        within = list(spec.submodule_search_locations)


def spec_of(name: str, within: Sequence[str] | None = None) -> ModuleSpec | None:
    """Where an import would find a module, without importing anything."""
    if within is not None:
        return PathFinder.find_spec(name, within)
    loaded: ModuleSpec | None = getattr(sys.modules.get(name), "__spec__", None)
    candidates = (finder.find_spec(name, None) for finder in sys.meta_path)
    return loaded or next(filter(None, candidates), None)


def is_users_file(path: Path) -> bool:
    """Whether a file is the user's: not the standard library's, not installed, not this suite's."""
    packages = {"site-packages", "dist-packages"} & set(path.parts)
    return not packages and not any(path.is_relative_to(folder) for folder in _installed())


@functools.cache
def _installed() -> tuple[Path, ...]:
    kinds = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = [*map(sysconfig.get_path, kinds), site.getusersitepackages()]
    return (*(Path(folder).resolve() for folder in folders), Path(__file__).resolve().parents[2])
