"""The words of the code: names say what they hold, and docstrings begin with their subject."""

import ast
from pathlib import Path

import vaebench

PACKAGE = Path(vaebench.__file__).parent
ROOT = PACKAGE.parent
WRITTEN = sorted(
    p for room in (PACKAGE, ROOT / "benchmarks", ROOT / "tests") for p in room.rglob("*.py")
)
RIDDLES = {"found", "given", "own", "told"}
"""Names that say how a value was come by, and not what it is."""


def names_bound(tree: ast.Module) -> set[str]:
    """The variables and parameters of a file."""
    bound = {node.id for node in ast.walk(tree) if named_here(node)}
    return bound | {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}


def named_here(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def docstrings(tree: ast.Module) -> list[str]:
    """All strings that stand as statements: of functions and classes, and below constants."""
    alone = (node.value for node in ast.walk(tree) if isinstance(node, ast.Expr))
    return [node.value for node in alone if is_text(node)]


def is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def test_docstrings_begin_with_their_subject():
    """No bare "Of" or the like: what stands above the string is not part of its sentence."""
    bare = {
        (path.name, text.partition("\n")[0])
        for path in WRITTEN
        for text in docstrings(ast.parse(path.read_text()))
        if text.split(maxsplit=1)[:1] in (["Of"], ["Whose"], ["As"], ["Those"])
    }
    assert not bare


def test_variables_are_named_for_what_they_hold():
    bound = {path: names_bound(ast.parse(path.read_text())) & RIDDLES for path in WRITTEN}
    assert not {path: names for path, names in bound.items() if names}
