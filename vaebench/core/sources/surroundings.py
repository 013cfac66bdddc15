"""Imports of the user's files: modules beside a file come first, under names of their folder."""

from __future__ import annotations

import builtins
import functools
import hashlib
import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from vaebench.core.sources.modules import Module, is_users_file, spec_of, specs

PREFIX = "vaebench_plugin_"
"""Each folder is a package in Python, whose name begins with this."""


class Surroundings:
    """The modules that files of one folder import, and the text of each file as first read.

    Modules in the folder come before others, under names of their own. Without a folder imports are
    Python's own, as for functions of the user's script or of an installed package.
    """

    def __init__(self, package: str = "", folder: Path | None = None) -> None:
        self.package = package
        self.folder = folder
        self._texts: dict[Path, bytes] = {}
        self._files: dict[Module, list[Module]] = {}
        self._is_own = functools.cache(self._finds_own)
        if folder is not None:
            importlib.invalidate_caches()
            for name in self._loaded():
                del sys.modules[name]
            parent = ModuleType(package, "The modules of one folder.")
            parent.__path__ = [str(folder)]
            sys.modules[package] = parent

    def read(self, path: Path) -> bytes:
        """The text of a file, which is read once."""
        if path not in self._texts:
            self._texts[path] = path.read_bytes()
        return self._texts[path]

    def fingerprint(self, module: Module) -> str:
        """A hash of a module's text, and of all files of the user's that it imports."""
        root, *others = self.files(module)
        imported = sorted((other.name, _digest(self.read(other.path), 64)) for other in others)
        text = self.read(root.path)
        return _digest(repr((_digest(text, 64), imported)).encode() if imported else text)

    def files(self, module: Module) -> list[Module]:
        """The module, then all files that it imports, directly or through others, each once."""
        if module not in self._files:
            waiting, known = [module], {module.path: module}
            while waiting:
                importer = waiting.pop()
                for name in importer.imports(self.read(importer.path)):
                    new = [m for m in self._found(name, importer, module) if m.path not in known]
                    known |= {m.path: m for m in new}
                    waiting += new
            self._files[module] = list(known.values())
        return self._files[module]

    def spec(self, name: str, path: Path) -> ModuleSpec:
        """How a file of the folder is loaded as the module of that name."""
        loader = _Loader(f"{self.package}.{name}", path, self)
        spec = spec_from_file_location(loader.name, path, loader=loader)
        assert spec is not None, "it has a loader"
        return spec

    def imported(
        self,
        name: str,
        of: Mapping[str, Any] | None = None,
        local: Mapping[str, Any] | None = None,
        members: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """The `__import__` of the files of a folder."""
        top = name.partition(".")[0]
        if level or not self._is_own(top):
            return builtins.__import__(name, of, local, members or (), level)
        module = builtins.__import__(f"{self.package}.{name}", of, local, members or (), 0)
        return module if members else sys.modules[f"{self.package}.{top}"]

    @contextmanager
    def undone_on_failure(self) -> Iterator[None]:
        """Forget what this context has loaded where it fails, so that a corrected file is read."""
        texts, files, loaded = dict(self._texts), dict(self._files), self._loaded()
        try:
            yield
        except BaseException:
            self._texts, self._files = texts, files
            self._is_own.cache_clear()
            importlib.invalidate_caches()
            for name in self._loaded() - loaded:
                del sys.modules[name]
            raise

    def _loaded(self) -> set[str]:
        return {name for name in sys.modules if name.startswith(f"{self.package}.")}

    def _found(self, name: str, importer: Module, root: Module) -> Iterator[Module]:
        """The user's files that importing a dotted name runs: packages, then the module."""
        is_own = importer.is_own and self._is_own(name.partition(".")[0])
        for spec in specs(name, [str(self.folder)] if is_own else None):
            if spec.origin is None or not spec.has_location:
                continue
            path = Path(spec.origin).resolve()
            # An installed package counts where the root is a module of it.
            same_package = name.partition(".")[0] == root.name.partition(".")[0]
            if is_users_file(path) or (same_package and not is_users_file(root.path)):
                yield Module(spec.name, path, is_own)

    def _finds_own(self, top: str) -> bool:
        """Whether a top-level name is that of a module in the folder.

        It is not where Python has loaded that very file, as the user's script may have made it do:
        the two are then one module.
        """
        if self.folder is None or top == "vaebench" or top in sys.builtin_module_names:
            return False
        spec = PathFinder.find_spec(top, [str(self.folder)])
        if spec is None:
            return False
        if spec.origin is None:  # a folder without __init__.py: what is installed comes before it
            elsewhere = spec_of(top)
            return elsewhere is None or elsewhere.origin is None
        path, known = Path(spec.origin).resolve(), getattr(sys.modules.get(top), "__file__", None)
        return is_users_file(path) and (known is None or Path(known).resolve() != path)


class _Loader(SourceFileLoader):
    """A loader that runs the text that was read first, never bytecode of an earlier one."""

    def __init__(self, name: str, path: Path, surroundings: Surroundings) -> None:
        super().__init__(name, str(path))
        self._surroundings = surroundings

    def get_data(self, path: str) -> bytes:
        return self._surroundings.read(Path(path))

    def path_stats(self, path: str) -> Mapping[str, Any]:
        raise OSError("the text decides, not its date")

    def exec_module(self, module: ModuleType) -> None:
        imported = {"__import__": self._surroundings.imported}
        module.__dict__["__builtins__"] = vars(builtins) | imported
        super().exec_module(module)


class _Finder:
    """A finder for modules of folders, by the names that they have here."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: object = None) -> Any:
        if path is None or not name.startswith(PREFIX):
            return None
        home, spec = of_module(name), PathFinder.find_spec(name, path)
        if spec is None or spec.origin is None or not isinstance(spec.loader, SourceFileLoader):
            return spec
        return home.spec(name.partition(".")[2], Path(spec.origin).resolve())


_known: dict[str, Surroundings] = {}
"""The surroundings of each folder, by the name of its package; "" for those without a folder."""
sys.meta_path.insert(0, _Finder)


def of_folder(folder: Path, *, anew: bool = False) -> Surroundings:
    """The surroundings of the files in a folder; `anew`: others, in which nothing is loaded yet."""
    package = PREFIX + _digest(str(folder).encode()) + "_anew" * anew
    if anew or package not in _known:
        _known[package] = Surroundings(package, folder)
    return _known[package]


def of_module(name: str) -> Surroundings:
    """The surroundings that a module was loaded in: of its folder, or of what Python has loaded."""
    return _known.get(name.partition(".")[0]) or _known.setdefault("", Surroundings())


def _digest(text: bytes, length: int = 12) -> str:
    return hashlib.sha256(text).hexdigest()[:length]
