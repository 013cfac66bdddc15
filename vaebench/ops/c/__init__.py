"""Native code: everything that is in C, and the only place where Python hands out addresses.

Nothing is built when the package is installed or imported: the first call compiles the sources of
this folder with $CC or cc, in half a second to two, and keeps the library in the user's cache.
Without a compiler, or with VAEBENCH_NATIVE=0, `library()` is None and its callers take numpy and
torch instead. README.md beside this file says what it buys and how to delete it.

The C functions take addresses and whole numbers, and neither keep nor free memory; other threads
run meanwhile.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import os

from vaebench.ops.c import declarations
from vaebench.ops.c.build import BuildError, built

LOG = logging.getLogger("vaebench.ops.c")


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
    """Why there is no library; "" where there is one."""
    return _loaded()[1]


@functools.cache
def _loaded() -> tuple[ctypes.CDLL | None, str]:
    if os.environ.get("VAEBENCH_NATIVE") == "0":
        return _without("VAEBENCH_NATIVE=0")
    try:
        # Its symbols are global, since compiled graphs call its products.
        loaded = ctypes.CDLL(str(built()), mode=ctypes.RTLD_GLOBAL)
    except (BuildError, OSError) as error:
        return _without(str(error))
    for name, arguments in declarations.functions().items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = None, arguments
    return loaded, ""


def _without(reason: str) -> tuple[None, str]:
    LOG.warning("no native code, several times slower on a CPU: %s", reason)
    return None, reason
