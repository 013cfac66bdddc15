"""What the C sources declare, read from their text: so that Python and C cannot drift apart.

The sources keep to a small language for what is called from here. A function is
`void vaebench_NAME(...)` with pointers and int64_t as arguments. A structure is
`typedef struct {...} NAME;` with fields of int64_t, double, pointers, or arrays of pointers.
"""

from __future__ import annotations

import ctypes
import functools
import re
from collections.abc import Iterator
from typing import Any

from vaebench.ops.c.build import SOURCES

FUNCTION = re.compile(r"^void (vaebench_\w+)\(([^)]*)\)", re.MULTILINE)
STRUCTURE = re.compile(r"^typedef struct \{([^}]*)\} (\w+);", re.MULTILINE)
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
FIELD = re.compile(r"(\*?)\s*(\w+)(?:\[(\d+)\])?")
NUMBERS: dict[str, Any] = {"int64_t": ctypes.c_int64, "double": ctypes.c_double}


@functools.cache
def functions() -> dict[str, list[Any]]:
    """The types of the arguments of each function, by name."""
    return {
        name: [ctypes.c_void_p if "*" in one else ctypes.c_int64 for one in arguments.split(",")]
        for name, arguments in FUNCTION.findall(_source())
    }


@functools.cache
def structure(name: str) -> type[ctypes.Structure]:
    """A structure of the C sources as ctypes has it, with the same fields in the same order."""
    bodies = {known: body for body, known in STRUCTURE.findall(_source())}
    return type(name, (ctypes.Structure,), {"_fields_": list(_fields(bodies[name]))})


def _source() -> str:
    return COMMENT.sub("", "\n".join(path.read_text() for path in SOURCES))


def _fields(body: str) -> Iterator[tuple[str, Any]]:
    for declaration in filter(None, map(str.strip, body.split(";"))):
        if callback := re.match(r"\w+ \(\*(\w+)\)\(", declaration):
            yield callback[1], ctypes.c_void_p
            continue
        kind, _, names = declaration.removeprefix("const ").partition(" ")
        for star, name, length in FIELD.findall(names.replace("const ", "")):
            field: Any = ctypes.c_void_p if star else NUMBERS[kind]
            yield name, field * int(length) if length else field
