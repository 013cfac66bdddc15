"""The user's own Python files: loading them, and the fingerprint of what each one runs.

A file given to the suite, as a plugin, an extractor or a model, imports what lies beside it from
whatever folder the suite is started in. Such modules have names of their own, by folder: two
plugins may each have a `helpers.py`, and one called `random.py` is met by its neighbours only. What
runs is the text that was read when the file was loaded, and its fingerprint is of that text.
"""

from __future__ import annotations

import sys
from importlib.machinery import SOURCE_SUFFIXES
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType

from vaebench.core.errors import InputError
from vaebench.core.sources.modules import Module
from vaebench.core.sources.surroundings import PREFIX, Surroundings, of_folder, of_module


def load_file(file: str | Path) -> ModuleType:
    """The module of a Python file, run once per process. Raises InputError where it cannot run."""
    module = _module(file)
    return _loaded(of_folder(module.path.parent), module)


def load_anew(file: str | Path) -> tuple[ModuleType, str]:
    """The module of a file as it is now, run again at every call, and its fingerprint."""
    module = _module(file)
    home = of_folder(module.path.parent, anew=True)
    return _loaded(home, module), home.fingerprint(module)


def _loaded(home: Surroundings, module: Module) -> ModuleType:
    if not module.path.is_file():
        raise InputError(f"{module.path} must be a Python file; it is not there: correct the name")
    if module.path.suffix not in SOURCE_SUFFIXES:
        raise InputError(f"{module.path} must be a Python file; its name must end in .py")
    spec = home.spec(module.name, module.path)
    if spec.name in sys.modules:
        return sys.modules[spec.name]
    assert spec.loader is not None, "of a Python file"
    with home.undone_on_failure():
        home.files(module)  # read before any of it runs: what is lazily imported too
        sys.modules[spec.name] = loaded = module_from_spec(spec)
        try:
            spec.loader.exec_module(loaded)
        except InputError:
            raise
        except (Exception, SystemExit) as error:
            raise InputError(f"{module.path} must run; it raised {error!r}: correct it") from error
    return loaded


def check_unchanged(file: str | Path) -> None:
    """Raises InputError where a loaded file, or one that it imports, has been edited since."""
    module = _module(file)
    home = of_folder(module.path.parent)
    for path in (m.path for m in home.files(module)):
        if not path.is_file() or path.read_bytes() != home.read(path):
            raise InputError(
                f"{path} must stay as it was when this process loaded it; it has been edited "
                f"since, and the text from before is what would run: start Python again"
            )


def fingerprint(module: str, file: Path) -> str:
    """A hash of a module's file and of all files of the user's that it imports.

    It is of the texts as they were when a file was loaded here, or when this was first called.
    """
    path, name = file.resolve(), module
    if module.startswith(PREFIX):
        return of_module(module).fingerprint(Module(module.partition(".")[2], path, is_own=True))
    if module == "__main__" and (spec := getattr(sys.modules[module], "__spec__", None)):
        name = spec.name  # of python -m
    return of_module(module).fingerprint(Module(name, path))


def names(file: str | Path) -> set[str]:
    """The names in Python of a file's module, and of the user's modules that it imports."""
    module = _module(file)
    home = of_folder(module.path.parent)
    files = home.files(module)
    return {f"{home.package}.{m.name}" for m in files} | {m.name for m in files[1:]}


def files_of(file: str | Path) -> list[Path]:
    """A Python file, and all files of the user's that it imports, as when it was loaded."""
    module = _module(file)
    return [m.path for m in of_folder(module.path.parent).files(module)]


def _module(file: str | Path) -> Module:
    path = Path(file).resolve()
    return Module(path.stem.replace(".", "_"), path, is_own=True)


def remember(module: str) -> None:
    """Read a module of the user's when it registers something: its text is still what runs."""
    file = getattr(sys.modules.get(module), "__file__", None)
    # A prompt says that its file is <stdin>.
    if file and Path(file).is_file() and not module.startswith("vaebench."):
        fingerprint(module, Path(file))
