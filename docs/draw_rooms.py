"""Draw which room of vaebench imports which, as docs/architecture.svg: `nox -s docs` runs this.

The order of the rooms is that of the table in docs/architecture.md; the imports are read from the
sources, without running them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE, PICTURE = ROOT / "docs" / "architecture.md", ROOT / "docs" / "architecture.svg"
CELL, LEFT, TOP, RADIUS = 28, 110, 96, 6
"""Pixels: of a cell, the names' column, the names' row, and a dot."""


def rooms(page: str) -> list[str]:
    """The rooms from the top down: the first column of the page's table."""
    return re.findall(r"^\| `(\w+)/` \|", page, flags=re.M)


def imports(tree: ast.AST, late: bool = False) -> Iterator[tuple[str, bool]]:
    """The rooms that a module imports; True for an import that waits: within a function, or for
    type checkers alone."""
    for node in ast.iter_child_nodes(tree):
        yield from ((room, late) for room in _named(node))
        waits = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or (
            isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        )
        yield from imports(node, late or waits)


def _named(node: ast.AST) -> set[str]:
    """The rooms in one import statement; none in any other node."""
    match node:
        case ast.ImportFrom(module="vaebench"):
            return {alias.name for alias in node.names if not alias.name.startswith("__")}
        case ast.ImportFrom(module=str(module)) if module.startswith("vaebench."):
            return {module.split(".")[1]}
        case ast.Import():
            return {a.name.split(".")[1] for a in node.names if a.name.startswith("vaebench.")}
    return set()


def room_imports(room: str) -> dict[str, bool]:
    """What the files of a room import; True where every such import waits."""
    rooms: dict[str, bool] = {}
    for path in sorted((ROOT / "vaebench" / room).rglob("*.py")):
        for other, late in imports(ast.parse(path.read_text())):
            rooms[other] = late and rooms.get(other, True)
    return rooms


def picture(names: list[str]) -> str:
    """The matrix of rooms as SVG: a dot where the row's room imports the column's."""
    return "\n".join([*_frame(names), *_cells(names), "</svg>", ""])


def _frame(names: list[str]) -> Iterator[str]:
    """The white ground, and the names of rows and columns."""
    width, height = LEFT + CELL * len(names) + 40, TOP + CELL * len(names) + 10
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif" font-size="14">'
    )
    yield f'<rect width="{width}" height="{height}" fill="white"/>'
    for i, name in enumerate(names):
        x, y = LEFT + CELL * (i + 0.5), TOP + CELL * (i + 0.5)
        yield f'<text x="{LEFT - 8}" y="{y + 5}" text-anchor="end">{name}</text>'
        yield f'<text x="{x}" y="{TOP - 8}" transform="rotate(-45 {x} {TOP - 8})">{name}</text>'


def _cells(names: list[str]) -> Iterator[str]:
    for i, row in enumerate(names):
        imported = room_imports(row)
        for j, column in enumerate(names):
            x, y = LEFT + CELL * j, TOP + CELL * i
            fill = "#bbb" if i == j else "#f4f4f4" if j < i else "none"
            yield (
                f'<rect x="{x}" y="{y}" width="{CELL}" height="{CELL}" fill="{fill}" '
                'stroke="#ccc"/>'
            )
            if i != j and column in imported:
                yield (
                    f'<circle cx="{x + CELL / 2}" cy="{y + CELL / 2}" r="{RADIUS}" '
                    f'fill="{"white" if imported[column] else "#24518a"}" stroke="#24518a" '
                    'stroke-width="2"/>'
                )


if __name__ == "__main__":
    PICTURE.write_text(picture(rooms(PAGE.read_text())))
