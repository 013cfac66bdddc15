"""From the graph of a step to a library in the user's cache, by PyTorch's inductor and g++."""

from __future__ import annotations

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
from vaebench.ops import c
from vaebench.ops.c import build
from vaebench.ops.c.adam import can_move_in_c
from vaebench.ops.c.block import TYPES
from vaebench.ops.c.graph import CompiledGraph
from vaebench.ops.noise import Noise
from vaebench.ops.recorded_draws import Draw
from vaebench.training.scalars import Scalars
from vaebench.training.step import Loss
from vaebench.training.stepping.compiled.trace import Trace, product_operation, trace_step

LOG = logging.getLogger("vaebench.training.stepping.compiled")
TESTED_TORCH = (2, 13), (2, 14)
"""The versions of PyTorch for which compiled steps are tried: from the first to before the second.
Each new one is tried by the tests first; README.md in ops/c/ lists what may change."""
PROXY = b"aoti_torch_proxy_executor_call_function"
"""The function that a library calls for an operation that has no C, and that needs Python."""
PRODUCT = (
    "AOTITorchError aoti_torch_cpu_product(AtenTensorHandle, AtenTensorHandle, AtenTensorHandle*)"
)
"""The function of ops/c/block.c for the products of a graph, as PyTorch declares it."""


@dataclass(frozen=True)
class Graph:
    """The compiled step of one run: see `trace.Trace` for what goes in and out."""

    code: CompiledGraph
    draws: tuple[Draw, ...]
    moved: tuple[bool, ...]
    example: tuple[Tensor, ...]
    """Inputs of the shapes that it takes, on no device."""
    seconds: float
    """The time that it took to compile or load."""
    from_disk: bool
    """Whether it was found on disk: then `seconds` says nothing about compiling."""


def compile_step(
    model: VAE,
    loss: Loss,
    x: Tensor,
    noise: Noise,
    scalars: Scalars,
    native_products: bool = True,
) -> Graph:
    """A graph for runs of this shape. The arguments are those of `trace_step`; none changes.

    Raises RuntimeError, or NotImplementedError, with what stands in the way of one.
    """
    start = time.perf_counter()
    if reason := next(_refusals(model), ""):
        raise RuntimeError(reason)
    trace = trace_step(model, loss, x, noise, scalars, native_products)
    path = build.cache() / "graphs" / f"{_fingerprint(trace)}.so"
    code, from_disk = _graph_of(trace, path)
    shapes = tuple(t.to("meta") for t in trace.example)
    seconds = time.perf_counter() - start
    return Graph(code, trace.draws, trace.moved, shapes, seconds, from_disk)


def _refusals(model: VAE) -> Iterator[str]:
    """Why the steps of a model cannot be compiled; nothing where they can."""
    tensors = [t.detach() for t in (*model.parameters(), *model.buffers())]
    first, end = TESTED_TORCH
    if not first <= _version(torch.__version__) < end:
        yield (
            f"compiled steps use private interfaces of PyTorch, tested from {_dotted(first)} to "
            f"before {_dotted(end)}; this is {torch.__version__}"
        )
    if not c.library():
        yield f"compiled steps need native code: {c.problem()}"
    if not can_move_in_c([p.detach() for p in model.parameters()]):
        yield "compiled steps need parameters in float32"
    if not all(t.is_contiguous() and t.dtype in TYPES for t in tensors):
        yield f"compiled steps need dense buffers of {', '.join(map(str, TYPES))}"


def _version(text: str) -> tuple[int, ...]:
    """Major and minor version: "2.13.0+cpu" is (2, 13)."""
    return tuple(int(part) for part in text.split(".")[:2])


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _graph_of(trace: Trace, path: Path) -> tuple[CompiledGraph, bool]:
    """The compiled graph, and whether it was on disk."""
    if graph := _kept(path):
        return graph, True
    _compile(trace, path)
    return _loaded(path), False


def _kept(path: Path) -> CompiledGraph | None:
    """The graph on disk; None where there is none, or one that cannot be read, which is deleted."""
    if not path.exists():
        return None
    try:
        graph = _loaded(path)
    except OSError as error:
        LOG.warning("%s is made again: %s", path, error)
        path.unlink()
        return None
    LOG.info("found %s", path)
    return graph


def _loaded(path: Path) -> CompiledGraph:
    """Raises RuntimeError for a graph that would call Python, which is not there in C."""
    if PROXY in path.read_bytes():
        raise RuntimeError("PyTorch's compiler knows an operation of this step from Python alone")
    return CompiledGraph(path)


def _options() -> dict[str, Any]:
    return {
        "aot_inductor.custom_ops_to_c_shims": {product_operation(): [PRODUCT]},
        "cpp.threads": 1,  # runs are what is done side by side
    }


def _compile(trace: Trace, path: Path) -> None:
    """Many processes may do so at once: each puts a whole file in the place of an equal one."""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's own code is deprecated in places
        example = tuple(trace.example)
        code = torch._inductor.aot_compile(trace.graph, example, options=_options())
    assert isinstance(code, str), "one library, no package"
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        shutil.copy(code, whole := Path(folder) / path.name)
        whole.replace(path)


def _fingerprint(trace: Trace) -> str:
    """A hash of the operations, the tensors that are part of them, and the machine they run on."""
    digest = hashlib.sha256("\0".join(_described(trace)).encode())
    for name, constant in sorted(_constants(trace)):
        digest.update(f"{name} {constant.dtype} {tuple(constant.shape)}".encode())
        digest.update(constant.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:32]


def _described(trace: Trace) -> Iterator[str]:
    settings = torch._inductor.config.save_config_portable()  # a user may have changed some
    settings.pop("aot_inductor.metadata", None)  # what compiling says of itself
    yield from (torch.__version__, build.machine(build.chosen_compiler()), trace.graph.code)
    yield from (repr(sorted(settings.items())), repr(_options()))
    for t in trace.example:
        yield f"{t.dtype} {tuple(t.shape)} {t.stride()}"


def _constants(trace: Trace) -> Iterator[tuple[str, Tensor]]:
    """The tensors that are part of a graph, by the names that its code has for them."""
    for node in trace.graph.graph.find_nodes(op="get_attr"):
        yield node.target, getattr(trace.graph, node.target)
