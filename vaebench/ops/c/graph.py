"""The compiled graph of a step, as a loaded library: graph_step.hpp says what it exports."""

from __future__ import annotations

import ctypes
from pathlib import Path


class CompiledGraph:
    """The library, kept as long as the process. Raises OSError for a file that is none."""

    def __init__(self, path: Path) -> None:
        self.code = ctypes.CDLL(str(path))
        self.code.graph_problem.restype = ctypes.c_char_p
        self.step, self.done = (self._address(name) for name in ("graph_step", "graph_done"))

    def problem(self) -> str:
        """What is said of a step that failed."""
        return str(self.code.graph_problem().decode(errors="replace"))

    def _address(self, name: str) -> int | None:
        return ctypes.cast(getattr(self.code, name), ctypes.c_void_p).value
