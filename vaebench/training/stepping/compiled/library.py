"""The graph of a step as a loaded library: from the user's cache, or compiled now."""

from __future__ import annotations

import functools
import logging
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vaebench.config import RunConfig
from vaebench.config.build import build_stack, streams
from vaebench.core import cache, collector
from vaebench.data import Dataset
from vaebench.models import VAE
from vaebench.objectives import OBJECTIVES
from vaebench.ops import c
from vaebench.ops.c.adam import can_move_in_c
from vaebench.ops.c.block import TYPES
from vaebench.ops.c.graph import CompiledGraph
from vaebench.ops.noise import Noise
from vaebench.ops.recorded_draws import Draw
from vaebench.training.minibatches import batches
from vaebench.training.scalars import Scalars
from vaebench.training.scalars import scalars as scalars_of
from vaebench.training.step import Loss, initial_state, loss_of
from vaebench.training.stepping.compiled.entry import Entry, entry_of, read, write
from vaebench.training.stepping.compiled.names import compiler, graph_key, graph_name
from vaebench.training.stepping.compiled.source import compile_trace
from vaebench.training.stepping.compiled.trace import trace_step

LOG = logging.getLogger("vaebench.training.stepping.compiled")
TESTED_TORCH = (2, 13), (2, 14)
"""The versions of PyTorch for which compiled steps are tried: from the first to before the second.
Each new one is tried by the tests first; README.md in ops/c/ lists what may change."""


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

    Raises RuntimeError, NotImplementedError or OSError, with what stands in the way of one.
    """
    start = time.perf_counter()
    if reason := next(_refusals(model), ""):
        raise RuntimeError(reason)
    at = _entry_at(graph_key(loss.kind, native_products))
    entry, code, from_disk = read(at), None, True
    if entry is not None:
        code = _loaded(entry)
    if entry is None or code is None:
        with collector.paused():
            of_step = scalars.with_constants(loss.compiled.constants)
            trace = trace_step(model, loss.as_compiled(), x, noise, of_step, native_products)
        entry = entry_of(trace, graph_name(trace))
        from_disk = cache.fetch(_code_at(entry), functools.partial(compile_trace, trace))
        code = CompiledGraph(_code_at(entry))  # before the entry makes room for itself
        write(at, entry)
    seconds = time.perf_counter() - start
    return Graph(code, entry.draws, entry.moved, entry.example, seconds, from_disk)


def compile_graph(config: RunConfig, dataset: Dataset) -> Graph:
    """The graph of runs like this one, whatever their seeds and scalars: as `compile_step`."""
    configs = [config]
    model = build_stack(configs, dataset.image_shape, dataset.log_volume)
    place = next(model.parameters())
    objective = OBJECTIVES[config.objective.name]
    loss = loss_of(config, dataset)
    first = scalars_of(configs, place)(0).with_state(initial_state(objective, 1, place))
    x = next(next(batches(configs, dataset, place)).microbatches(0, loss.num_microbatches))
    return compile_step(model, loss, x, streams(configs, "train"), first)


def is_on_disk(key: str) -> bool:
    """Whether the graph of a key is there, so that it is loaded and not compiled."""
    entry = read(_entry_at(key))
    return entry is not None and cache.is_whole(_code_at(entry))


def _loaded(entry: Entry) -> CompiledGraph | None:
    """The code of a graph on disk; None where there is none, or one that cannot be loaded."""
    path = _code_at(entry)
    try:
        return CompiledGraph(path) if cache.use(path) else None
    except (OSError, AttributeError) as error:
        LOG.warning("%s is made again: %s", path, error)
        path.unlink(missing_ok=True)
        return None


def _entry_at(key: str) -> Path:
    return cache.root() / "graphs" / f"{key}.json"


def _code_at(entry: Entry) -> Path:
    return cache.root() / "graphs" / f"{entry.graph}.so"


def problem() -> str:
    """Why no graph can be compiled on this machine; "" where nothing stands in the way."""
    if reason := _unsupported():
        return reason
    if not shutil.which(compiler()[0]):
        return f"compiled steps need a C++ compiler: there is no {compiler()[0]}"
    try:
        folder = cache.root() / "graphs"
        cache.prepare(folder)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return f"compiled steps need a cache that can be written: {error}"
    return ""


def _unsupported() -> str:
    """Why no graph can be used here, not even one from disk."""
    first, end = TESTED_TORCH
    if not first <= _version(torch.__version__) < end:
        return (
            f"compiled steps use private interfaces of PyTorch, tested from {_dotted(first)} to "
            f"before {_dotted(end)}; this is {torch.__version__}"
        )
    return "" if c.library() else f"compiled steps need native code: {c.problem()}"


def _refusals(model: VAE) -> Iterator[str]:
    """Why the steps of a model cannot be compiled; nothing where they can."""
    tensors = [t.detach() for t in (*model.parameters(), *model.buffers())]
    if reason := _unsupported():
        yield reason
    if not can_move_in_c([p.detach() for p in model.parameters()]):
        yield "compiled steps need parameters in float32"
    if not all(t.is_contiguous() and t.dtype in TYPES for t in tensors):
        yield f"compiled steps need dense buffers of {', '.join(map(str, TYPES))}"


def _version(text: str) -> tuple[int, ...]:
    """Major and minor version: "2.13.0+cpu" is (2, 13)."""
    return tuple(int(part) for part in text.split(".")[:2])


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
