"""C code for what takes most of the time on a CPU: the noise, and passes over whole tensors.

Nothing is built when the package is installed or imported: the first call compiles the sources of
this folder with $CC or cc, in half a second to two, and keeps the library in the user's cache.
Without a compiler, or with VAEBENCH_NATIVE=0, `library()` is None and its callers go their way in
numpy and torch.

The functions take addresses and whole numbers, and neither keep nor free anything; other threads
run meanwhile.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import os
import re

from vaebench.ops.c.build import SOURCES, BuildError, built

LOG = logging.getLogger("vaebench.ops.c")

FUNCTION = re.compile(r"^void (vaebench_\w+)\(([^)]*)\)", re.MULTILINE)
"""What the sources define for use from here; arguments are pointers and int64_t."""


def library() -> ctypes.CDLL | None:
    """The functions of the C sources, or None where there are none: see `problem`."""
    return _loaded()[0]


@functools.cache
def functions() -> ctypes.CDLL:
    """The library, for those that are called only where there is one."""
    loaded = library()
    assert loaded is not None, "the choice of a path asks for the library first"
    return loaded


def problem() -> str:
    """Why there is no library, or nothing."""
    return _loaded()[1]


@functools.cache
def _loaded() -> tuple[ctypes.CDLL | None, str]:
    if os.environ.get("VAEBENCH_NATIVE") == "0":
        return _without("VAEBENCH_NATIVE=0")
    try:
        # For all that is loaded after it: compiled graphs call its products.
        loaded = ctypes.CDLL(str(built()), mode=ctypes.RTLD_GLOBAL)
    except (BuildError, OSError) as error:
        return _without(str(error))
    for name, arguments in FUNCTION.findall("".join(path.read_text() for path in SOURCES)):
        function = getattr(loaded, name)
        function.restype = None
        function.argtypes = [
            ctypes.c_void_p if "*" in argument else ctypes.c_int64
            for argument in arguments.split(",")
        ]
    return loaded, ""


def _without(reason: str) -> tuple[None, str]:
    LOG.warning("no native code, several times slower on a CPU: %s", reason)
    return None, reason


@functools.lru_cache(maxsize=256)
def words(numbers: tuple[int, ...]) -> ctypes.Array[ctypes.c_uint64]:
    """Unsigned 64-bit numbers as C reads them."""
    return (ctypes.c_uint64 * len(numbers))(*numbers)
