"""A graph compiled ahead of time by PyTorch, as a loaded library.

Its interface for C is torch/csrc/inductor/aoti_runtime/interface.h, private to PyTorch.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

RUN = "AOTInductorModelContainerRunSingleThreaded"
"""The function of a graph that runs it."""


class CompiledGraph:
    """The library and the model in it, both kept as long as the process.

    Raises OSError for a file that is no library, RuntimeError where PyTorch cannot load the model.
    """

    def __init__(self, path: Path) -> None:
        self.code = ctypes.CDLL(str(path))
        self.model, one = ctypes.c_void_p(), ctypes.c_size_t(1)
        create = self.code.AOTInductorModelContainerCreateWithDevice
        if create(ctypes.byref(self.model), one, b"cpu", None):
            raise RuntimeError("PyTorch cannot load a graph that it has compiled")

    @property
    def run(self) -> int | None:
        """The address of the function that runs the graph."""
        return self.function(RUN)

    def function(self, name: str) -> int | None:
        """The address of a function of the library, or of those that it needs."""
        return ctypes.cast(getattr(self.code, name), ctypes.c_void_p).value

    def last_error(self) -> str:
        """What PyTorch says of a call that failed."""
        message = ctypes.c_char_p()
        self.code.AOTInductorGetLastError(ctypes.byref(message))
        return (message.value or b"it does not say why").decode(errors="replace")
