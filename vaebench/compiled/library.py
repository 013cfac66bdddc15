"""From the graph of a step to a library in the user's cache, by PyTorch's inductor and g++."""

from __future__ import annotations

import ctypes
import hashlib
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vaebench import native
from vaebench.compiled.trace import Trace, product_operation, trace_step
from vaebench.models import VAE
from vaebench.native import build
from vaebench.noise import Noise
from vaebench.optimise import can_move_in_c
from vaebench.step import Loss, Scalars
from vaebench.tape import Asked

PRODUCT = (
    "AOTITorchError aoti_torch_cpu_product(AtenTensorHandle, AtenTensorHandle, AtenTensorHandle*)"
)
"""Of native/stride.c."""


@dataclass(frozen=True)
class Graph:
    """The compiled step of one run: see `trace.Trace` for what goes in and out."""

    code: ctypes.CDLL
    model: ctypes.c_void_p
    """What the code runs."""
    asked: tuple[Asked, ...]
    moved: tuple[bool, ...]
    example: tuple[Tensor, ...]
    """Inputs of the shapes that it takes, on no device."""
    seconds: float
    """What compiling took."""


def compile_step(model: VAE, loss: Loss, x: Tensor, noise: Noise, scalars: Scalars) -> Graph:
    """A graph for runs of this shape. The arguments are those of a step; nothing is changed.

    Raises RuntimeError where there is no native code.
    """
    start = time.perf_counter()
    if not native.library():
        raise RuntimeError(f"compiled steps need native code: {native.problem()}")
    if not can_move_in_c([p.detach() for p in model.parameters()]):
        raise RuntimeError("compiled steps need parameters in float32")
    trace = trace_step(model, loss, x, noise, scalars)
    path = build.cache() / "graphs" / f"{_fingerprint(trace)}.so"
    if not path.exists():
        _compile(trace, path)
    shapes = tuple(t.to("meta") for t in trace.example)
    code = ctypes.CDLL(str(path))
    made = time.perf_counter() - start
    return Graph(code, _model(code), trace.asked, trace.moved, shapes, made)


def _model(code: ctypes.CDLL) -> ctypes.c_void_p:
    """Made once, and kept as long as the process: so is the code."""
    model, one = ctypes.c_void_p(), ctypes.c_size_t(1)
    problem = code.AOTInductorModelContainerCreateWithDevice(ctypes.byref(model), one, b"cpu", None)
    if problem:
        raise RuntimeError("PyTorch cannot load a graph that it has compiled")
    return model


def _options() -> dict[str, Any]:
    return {
        "aot_inductor.custom_ops_to_c_shims": {product_operation(): [PRODUCT]},
        "cpp.threads": 1,  # runs are what is done side by side
    }


def _compile(trace: Trace, path: Path) -> None:
    """Many processes may do so at once: each puts a whole file in the place of an equal one."""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's own code is deprecated in places
        made = torch._inductor.aot_compile(trace.graph, tuple(trace.example), options=_options())
    assert isinstance(made, str), "one library, no package"
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        shutil.copy(made, whole := Path(folder) / path.name)
        whole.replace(path)


def _fingerprint(trace: Trace) -> str:
    """Of the operations, the tensors that are part of them, and what they are compiled for."""
    found = hashlib.sha256("\0".join(_described(trace)).encode())
    for name, constant in sorted(_constants(trace)):
        found.update(name.encode() + constant.detach().contiguous().numpy().tobytes())
    return found.hexdigest()[:32]


def _described(trace: Trace) -> Iterator[str]:
    settings = torch._inductor.config.save_config_portable()  # a user may have changed some
    settings.pop("aot_inductor.metadata")  # what compiling says of itself
    yield from (torch.__version__, build.machine(build.chosen_compiler()), trace.graph.code)
    yield from (repr(sorted(settings.items())), repr(_options()))
    for t in trace.example:
        yield f"{t.dtype} {tuple(t.shape)} {t.stride()}"


def _constants(trace: Trace) -> Iterator[tuple[str, Tensor]]:
    """By the names that the graph's code has for them."""
    for node in trace.graph.graph.find_nodes(op="get_attr"):
        yield node.target, getattr(trace.graph, node.target)
