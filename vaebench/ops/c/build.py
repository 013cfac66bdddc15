"""From C sources to a shared library in the user's cache, by the compiler of this machine."""

from __future__ import annotations

import functools
import hashlib
import os
import shlex
import subprocess
from pathlib import Path

from vaebench.core import cache

SOURCES = sorted(Path(__file__).parent.glob("*.[ch]"))
FLAGS = [
    *("-std=c11", "-O3", "-march=native", "-fPIC", "-shared", "-fopenmp-simd"),
    "-ffp-contract=off",  # what is fused is written fused: the same bits by every compiler
    *("-fno-math-errno", "-fno-trapping-math"),  # nobody asks; NaN and infinity are as ever
]
PATIENCE_S = 120.0


class BuildError(Exception):
    """Why there is no library."""


def built() -> Path:
    """The library for these sources, this compiler and this CPU: from the cache, or made now."""
    try:
        compiler = chosen_compiler()
        library = cache.root() / f"{_fingerprint(compiler)}.so"
        cache.fetch(library, functools.partial(_compile, compiler))
    except (OSError, RuntimeError, ValueError) as error:  # no compiler, no home, a full disk
        raise BuildError(f"{type(error).__name__}: {error}") from error
    return library


def chosen_compiler() -> list[str]:
    """The command: $CC, or cc."""
    return shlex.split(os.environ.get("CC") or "cc")


@functools.cache
def machine(compiler: tuple[str, ...]) -> str:
    """What a compiler says of its version and of the CPU."""
    return run([*compiler, *FLAGS, "-dM", "-E", "-x", "c", os.devnull])


def _fingerprint(compiler: list[str]) -> str:
    """The hash of the sources, the command, and the machine: another of these, another library."""
    sources = [path.read_text() for path in SOURCES]
    parts = "\0".join([*compiler, *FLAGS, machine(tuple(compiler)), *sources])
    return hashlib.sha256(parts.encode()).hexdigest()[:32]


def _compile(compiler: list[str], library: Path) -> None:
    sources = [str(path) for path in SOURCES if path.suffix == ".c"]
    run([*compiler, *FLAGS, *sources, "-o", str(library), "-lm"])


def run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"{command[0]} took more than {PATIENCE_S:g} s") from error
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        reason = next((line for line in said if "error" in line), said[-1])
        raise BuildError(f"{command[0]} failed: {reason}")
    return done.stdout
