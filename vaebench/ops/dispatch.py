"""Which implementation an operation takes, said once in the log and kept for the record.

`triton`: on a GPU, what the kernels take. `cpu native`: on a CPU in float32, in C. `cpu`: there
too, in PyTorch, with the reason where it stands in for C. `reference`: everything else, with the
reason.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable
from functools import lru_cache
from types import ModuleType

import torch
from torch import Tensor
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from vaebench.core.memory import PeakBytes
from vaebench.ops import c, cpu, densities
from vaebench.ops.c import fused as cpu_native
from vaebench.ops.eligible import DTYPES, dtype_name

LOG = logging.getLogger("vaebench.ops")

_taken: dict[str, set[str]] = {}
_said: set[tuple[str, str]] = set()


def paths() -> dict[str, str]:
    """The path that each operation has taken in this process, for the record.

    An operation within torch.compile leaves no entry: it is traced, not called.
    """
    return {op: ", ".join(sorted(ways)) for op, ways in sorted(_taken.items())}


def forget_paths() -> None:
    """Begin a new record. What the log has said it does not say again."""
    _taken.clear()


def note(op: str, way: str) -> None:
    """Record the way that an operation has taken. The log says it once."""
    _taken.setdefault(op, set()).add(way)
    if (op, way) not in _said:
        _said.add((op, way))
        LOG.info("%s takes its path %s", op, way)


def implementation(op: str, first: Tensor, problem: Callable[[], str | None]) -> ModuleType:
    """The module whose `op` to call for tensors like `first`; a `problem` rules the others out.

    `problem` is called only where there are other versions: small steps feel every check.
    """
    way, module = _on_gpu(first) if first.is_cuda else _on_cpu(op, first)
    if module is not densities and (reason := problem()):
        way, module = _reference(reason)
    if not torch.compiler.is_compiling():
        note(op, way)
    return module


def _reference(reason: str) -> tuple[str, ModuleType]:
    return "reference: " + reason, densities


def _on_gpu(first: Tensor) -> tuple[str, ModuleType]:
    """The path of a tensor on a GPU and its module, if the shapes allow."""
    if first.dtype not in DTYPES:
        return _reference(dtype_name(first))
    if _in_transform():
        return _reference("a torch.func transform")
    if not has_triton():
        return _reference("triton is not installed")
    from vaebench.ops import gpu as fused  # imports triton, which CPU machines may lack

    return "triton", fused


def _on_cpu(op: str, first: Tensor) -> tuple[str, ModuleType]:
    """The path of an operation on a CPU and its module, if the shapes allow.

    torch.compile does better with the reference, whose steps it can fuse; and a dispatch mode, such
    as traces, would not see what C does.
    """
    if first.dtype != torch.float32 or not first.is_cpu:
        return _reference(_described(first.dtype, first.device.type))
    if torch.compiler.is_compiling() or _is_traced():
        return _reference("torch.compile")
    if _in_transform():
        return _reference("a torch.func transform")
    problem = c.problem()
    return _cpu_paths(problem).get(op) or _reference(f"not native: {problem}")


def can_call_c(x: Tensor) -> bool:
    """Whether C may work on a tensor: there is a library, and nobody must see what it does."""
    if not x.is_cpu or torch.compiler.is_compiling() or _is_traced() or _in_transform():
        return False
    return not c.problem()


def _is_traced() -> bool:
    """Whether a dispatch mode is at work that must see every operation; counting bytes need not."""
    if not torch._C._len_torch_dispatch_stack():
        return False
    modes = _get_current_dispatch_mode_stack()
    return any(not isinstance(mode, PeakBytes) for mode in modes)


@lru_cache
def _cpu_paths(problem: str) -> dict[str, tuple[str, ModuleType]]:
    """Way and module of each operation that has a version for CPUs; without C where `problem`."""
    if not problem:
        by_hand = dict.fromkeys(cpu.__all__, ("cpu", cpu))
        return by_hand | dict.fromkeys(cpu_native.__all__, ("cpu native", cpu_native))
    in_place_of_c = f"cpu, not native: {problem}"
    return {op: (in_place_of_c if op in cpu_native.__all__ else "cpu", cpu) for op in cpu.__all__}


@lru_cache(maxsize=1)
def has_triton() -> bool:
    """Whether the kernels for GPUs can be imported."""
    return importlib.util.find_spec("triton") is not None


def _in_transform() -> bool:
    """Whether vmap, grad or another transform of torch.func is at work: the kernels have no rules
    for it. Dynamo cannot trace the question, and answers it by tracing the transform itself."""
    if torch.compiler.is_compiling():
        return False
    return torch._C._functorch.peek_interpreter_stack() is not None


@lru_cache
def _described(dtype: torch.dtype, device: str) -> str:
    return f"{str(dtype).removeprefix('torch.')} on {device}"
