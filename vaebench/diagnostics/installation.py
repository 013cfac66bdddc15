"""What is installed here, and what keeps steps from being fast."""

from __future__ import annotations

import shlex
import subprocess

from vaebench.core import cache
from vaebench.ops.c.build import chosen_compiler
from vaebench.running.environment import default_device, describe
from vaebench.training.stepping.compiled.library import problem
from vaebench.training.stepping.compiled.names import compiler


def installation() -> dict[str, str]:
    """Versions, processor, device, compilers, whether steps are compiled and what is kept."""
    reason = problem()
    return {
        **describe(str(default_device())),
        "C compiler": _version(chosen_compiler()),
        "C++ compiler": _version(compiler()),
        "compiled steps": f"no: {reason}" if reason else "yes",
        "compiled code": _kept(),
    }


def _version(command: list[str]) -> str:
    """What a compiler says of itself."""
    try:
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{shlex.join(command)}: {error}"
    first = (done.stdout or done.stderr).partition("\n")[0]
    return f"{shlex.join(command)}: {first}"


def _kept() -> str:
    """How many files of compiled code there are, where, and how much of the room they take."""
    sizes = [path.stat().st_size for path in cache.files()]
    most = cache.most_bytes() >> 20
    return f"{len(sizes)} files in {cache.root()}, {sum(sizes) / 2**20:.1f} of {most} MB"
