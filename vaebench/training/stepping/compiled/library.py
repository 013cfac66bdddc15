"""From the graph of a step to a library in the user's cache, by PyTorch's inductor and g++."""

from __future__ import annotations

import ctypes
import hashlib
import logging
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

from vaebench.models import VAE
from vaebench.ops import c as native
from vaebench.ops.adam import can_move_in_c
from vaebench.ops.c import build
from vaebench.ops.noise import Noise
from vaebench.ops.noise_tape import Asked
from vaebench.training.scalars import Scalars
from vaebench.training.step import Loss
from vaebench.training.stepping.compiled.layout import TYPES
from vaebench.training.stepping.compiled.trace import Trace, product_operation, trace_step

LOG = logging.getLogger("vaebench.training.stepping.compiled")
PROXY = b"aoti_torch_proxy_executor_call_function"
"""What a library asks for an operation that has no function in C: a Python that is not there."""
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
    """What it took to make."""
    from_disk: bool
    """Whether it was found there: then that says nothing of what compiling takes."""

    def last_error(self) -> str:
        """What PyTorch says of a call that failed."""
        said = ctypes.c_char_p()
        self.code.AOTInductorGetLastError(ctypes.byref(said))
        return (said.value or b"it does not say why").decode(errors="replace")


def compile_step(model: VAE, loss: Loss, x: Tensor, noise: Noise, scalars: Scalars) -> Graph:
    """A graph for runs of this shape. The arguments are those of a step; nothing is changed.

    Raises RuntimeError, or NotImplementedError, with what stands in the way of one.
    """
    start = time.perf_counter()
    if reason := next(_refusals(model), ""):
        raise RuntimeError(reason)
    trace = trace_step(model, loss, x, noise, scalars)
    path = build.cache() / "graphs" / f"{_fingerprint(trace)}.so"
    code = _kept(path)
    if from_disk := code is not None:
        LOG.info("found %s", path)
    else:
        _compile(trace, path)
        code = ctypes.CDLL(str(path))
    if PROXY in path.read_bytes():
        raise RuntimeError("PyTorch's compiler knows an operation of this step from Python alone")
    shapes = tuple(t.to("meta") for t in trace.example)
    seconds = time.perf_counter() - start
    return Graph(code, _model(code), trace.asked, trace.moved, shapes, seconds, from_disk)


def _refusals(model: VAE) -> Iterator[str]:
    """What of a model does not go into C."""
    tensors = [t.detach() for t in (*model.parameters(), *model.buffers())]
    if not native.library():
        yield f"compiled steps need native code: {native.problem()}"
    if not can_move_in_c([p.detach() for p in model.parameters()]):
        yield "compiled steps need parameters in float32"
    if not all(t.is_contiguous() and t.dtype in TYPES for t in tensors):
        yield f"compiled steps need dense buffers of {', '.join(map(str, TYPES))}"


def _kept(path: Path) -> ctypes.CDLL | None:
    """The library of an earlier time; one that cannot be read is made again."""
    if not path.exists():
        return None
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        LOG.warning("%s is made again: %s", path, error)
        path.unlink()
        return None


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
        found.update(f"{name} {constant.dtype} {tuple(constant.shape)}".encode())
        found.update(constant.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:32]


def _described(trace: Trace) -> Iterator[str]:
    settings = torch._inductor.config.save_config_portable()  # a user may have changed some
    settings.pop("aot_inductor.metadata", None)  # what compiling says of itself
    yield from (torch.__version__, build.machine(build.chosen_compiler()), trace.graph.code)
    yield from (repr(sorted(settings.items())), repr(_options()))
    for t in trace.example:
        yield f"{t.dtype} {tuple(t.shape)} {t.stride()}"


def _constants(trace: Trace) -> Iterator[tuple[str, Tensor]]:
    """By the names that the graph's code has for them."""
    for node in trace.graph.graph.find_nodes(op="get_attr"):
        yield node.target, getattr(trace.graph, node.target)
