"""What graphs are called on disk: another version of anything that makes them is another name."""

from __future__ import annotations

import functools
import hashlib
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

import vaebench
from vaebench.ops.c import build
from vaebench.training.stepping.compiled.trace import Trace

ROOMS = "core", "config", "models", "objectives", "ops", "training"
"""The rooms of the package whose code decides what a step is and how it is compiled."""
SETTINGS = "TORCHINDUCTOR_", "AOT_INDUCTOR_", "ATEN_CPU_CAPABILITY"
"""How the names of environment variables begin that change what PyTorch's compiler makes."""


def graph_key(kind: str, native_products: bool = True) -> str:
    """The name under which the graph of a kind of step is found on disk without a trace.

    Runs of one kind (`training.kind`) have one graph; those of different kinds may share one, too,
    which is known when they are traced.
    """
    return _hash([kind, str(native_products), *_installation()])


def graph_name(trace: Trace) -> str:
    """The name of a traced graph: its operations, the shapes and values that are part of them."""
    shapes = [f"{t.dtype} {tuple(t.shape)} {t.stride()}" for t in trace.example]
    constants = [
        f"{name} {constant.dtype} {tuple(constant.shape)} {bytes_of(constant).hex()}"
        for name, constant in trace.constants()
    ]
    return _hash([trace.graph.code, *shapes, *constants, *_installation()])


def compiler() -> list[str]:
    """The command of the C++ compiler: $CXX, or g++."""
    return shlex.split(os.environ.get("CXX") or "g++")


def _installation() -> Iterator[str]:
    """The versions of PyTorch, of the compiler and of this package, the CPU, and the settings."""
    yield torch.__version__
    yield from compiler()
    yield build.machine(tuple(compiler()))
    yield _sources()
    for name, value in sorted(os.environ.items()):
        if name.startswith(SETTINGS) and not name.endswith("_DIR"):  # it is where files lie
            yield f"{name}={value}"


@functools.cache
def _sources() -> str:
    """A hash of the code of this package that steps are made of."""
    package = Path(vaebench.__file__).parent
    files = sorted(file for room in ROOMS for file in (package / room).rglob("*.[pch]*"))
    code = (file for file in files if file.suffix in (".py", ".c", ".h", ".hpp"))
    return _hash([f"{file.relative_to(package)}\n{file.read_text()}" for file in code])


def bytes_of(tensor: Tensor) -> bytes:
    """The numbers of a tensor in their order."""
    array = tensor.detach().contiguous().flatten().view(torch.uint8).numpy()
    return array.tobytes()


def _hash(parts: list[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
