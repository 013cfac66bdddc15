"""What is installed here, what keeps steps from being fast, and where files are kept."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Collection
from pathlib import Path

from vaebench.core import cache
from vaebench.core.errors import InputError, first_line
from vaebench.data.lookup import NAMES, cache_folder, home
from vaebench.ops.c.build import chosen_compiler
from vaebench.running.environment import default_device, describe
from vaebench.training.stepping.compiled.library import problem
from vaebench.training.stepping.compiled.names import compiler


def installation() -> dict[str, str]:
    """Versions, processor, device, compilers, and whether steps are compiled."""
    reason = problem()
    return {
        **describe(str(default_device())),
        "C compiler": _version(chosen_compiler()),
        "C++ compiler": _version(compiler()),
        "compiled steps": f"no: {reason}" if reason else "yes",
    }


def caches() -> list[dict[str, str | int | None]]:
    """A line for each folder that the suite keeps files in, whether or not it is there."""
    others = [path for path in cache_folder().glob("*") if path != cache.root()]
    below = (path for other in others for path in (other, *other.rglob("*")))
    data = [path.stat().st_size for path in below if path.is_file()]
    return [
        _line("compiled code", cache.root(), cache.sizes().values(), cache.most_bytes()),
        _line("data sets", cache_folder(), data, None),
    ]


def data_sets() -> list[dict[str, str]]:
    """A line for each data set by name: where it is found, or what to do."""
    return [{"name": name, "found": _found(name)} for name in NAMES]


def _line(
    name: str, folder: Path, sizes: Collection[int], most: int | None
) -> dict[str, str | int | None]:
    return {
        "cache": name,
        "folder": str(folder),
        "files": len(sizes),
        "bytes": sum(sizes),
        "most_bytes": most,
    }


def _found(name: str) -> str:
    try:
        return (
            home(name) or f"not here: fetched at first use, or put {name}.npz into $VAEBENCH_DATA"
        )
    except InputError as error:
        return f"no: {first_line(error)}"


def _version(command: list[str]) -> str:
    """What a compiler says of itself."""
    try:
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{shlex.join(command)}: {error}"
    first = (done.stdout or done.stderr).partition("\n")[0]
    return f"{shlex.join(command)}: {first}"
