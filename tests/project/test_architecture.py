"""The house: imports flow down, functions are short, and looking at it costs nothing."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import vaebench
from docs.draw_rooms import imports

PACKAGE = Path(vaebench.__file__).parent
LAYERS = [
    *(
        "cli",
        "league",
        "reproduction",
        "diagnostics",
        "running",
        "training",
        "report",
        "results",
        "config",
    ),
    *("evaluation", "objectives", "models", "data", "ops", "core"),
]
"""From the top down: a module imports those to its right, or its own folder."""
FREE = {"__init__", "__main__"}
MOST_LINES = 60
"""The most lines of a function."""


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(tree: ast.Module) -> set[str]:
    """The rooms of the house that a file imports, at the top or within a function."""
    return {name for name, _ in imports(tree)}


FILES = sorted(p for p in PACKAGE.rglob("*.py") if room(p) not in FREE)


def test_every_room_has_its_place():
    assert {room(path) for path in FILES} == set(LAYERS)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_flow_down(path):
    here = room(path)
    upward = {
        other
        for other in imported_rooms(ast.parse(path.read_text())) - {here}
        if LAYERS.index(other) < LAYERS.index(here)
    }
    assert not upward, f"{here} must not import {upward}"


def test_no_import_escapes_the_rule():
    """Imports name the package in full, and only two places compute a name.

    `discover` imports the modules of a folder; the package's face, which FILES has not, its names.
    """
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.ImportFrom) and node.level), path
            computed = isinstance(node, ast.Name) and node.id in ("import_module", "__import__")
            assert not computed or path.parts[-2:] == ("core", "registry.py"), path


@pytest.mark.parametrize("folder", [PACKAGE, PACKAGE.parent / "benchmarks"], ids=lambda p: p.name)
def test_functions_are_short(folder):
    long = {
        (path.name, node.name): 1 + node.end_lineno - node.lineno
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno >= MOST_LINES
    }
    assert long == {}


def rooms_at_run_time(here: str) -> set[str]:
    """The rooms that a room imports when it runs: not those that only its types are of."""
    rooms = set()
    for path in (PACKAGE / here).rglob("*.py"):
        tree = ast.parse(path.read_text())
        tree.body = [node for node in tree.body if not for_types_alone(node)]
        rooms |= imported_rooms(tree)
    return rooms


def for_types_alone(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


@pytest.mark.parametrize("here, below", [("report", {"results", "core"}), ("results", {"core"})])
def test_reading_a_study_needs_core_alone(here, below):
    assert rooms_at_run_time(here) <= {here, *below}


def test_reading_a_study_imports_no_worker():
    """Nor training or tables: a study is read on a machine that only hands work out."""
    code = "import sys, vaebench.config.study; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    rooms = {name.split(".")[1] for name in done.stdout.split() if name.startswith("vaebench.")}
    assert "config" in rooms
    assert not rooms & {"cli", "reproduction", "diagnostics", "running", "training", "report"}


def test_a_worker_imports_no_tables_and_reads_the_digits_without_scikit_learn():
    """Packages whose imports take as long as the work of a small study."""
    code = (
        "import sys, vaebench.running.executors.local\n"
        "from vaebench.data import load\n"
        "load('digits', 'dynamic')\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "torch" in loaded
    assert not loaded & {"pandas", "scipy", "sklearn", "matplotlib", "optuna", "torch._dynamo"}


@pytest.mark.parametrize("arguments", [["-c", "import vaebench"], ["-m", "vaebench", "--help"]])
def test_a_look_loads_nothing_heavy(arguments):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments], capture_output=True, text=True, check=True
    )
    loaded = {line.rsplit("|")[-1].strip() for line in done.stderr.splitlines()}
    assert "vaebench" in loaded
    assert not loaded & {"torch", "pandas", "numpy", "optuna", "scipy", "matplotlib", "rich"}


def test_native_memory_is_reached_from_one_room_alone():
    native = re.compile(r"\bctypes\b|\bdata_ptr\b")
    reaching = {p.parent for p in PACKAGE.rglob("*.py") if native.search(p.read_text())}
    assert reaching == {PACKAGE / "ops" / "c"}
