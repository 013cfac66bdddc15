"""Which implementation an operation takes, said once in the log and kept for the record.

`triton`: on a GPU, what the kernels take. `cpu`: on a CPU in float32, the operations that have a
path of their own. `reference`: everything else, with the reason.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable
from functools import lru_cache
from types import ModuleType

import torch
from torch import Tensor

from vaebench import densities
from vaebench.kernels import cpu

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
"""What the kernels read and write; they compute in float32."""

LOG = logging.getLogger("vaebench.kernels")

_taken: dict[str, set[str]] = {}
_said: set[tuple[str, str]] = set()


def paths() -> dict[str, str]:
    """The path that each operation has taken in this process, for the record.

    An operation within torch.compile leaves no entry: it is traced, not called.
    """
    return {op: ", ".join(sorted(ways)) for op, ways in sorted(_taken.items())}


def forget_paths() -> None:
    """Begin a record anew. What the log has said it does not say again."""
    _taken.clear()


def namespace(op: str, first: Tensor, problem: Callable[[], str | None]) -> ModuleType:
    """The module whose `op` to call for tensors like `first`; a `problem` rules the others out.

    It is asked for only where there are others: small steps feel every check.
    """
    reason = _no_kernel(first) if first.is_cuda else _no_own_path(op, first)
    reason = reason or problem()
    if reason:
        return _choose(op, "reference: " + reason, densities)
    if not first.is_cuda:
        return _choose(op, "cpu", cpu)
    from vaebench.kernels import fused  # imports triton, which CPU machines may lack

    return _choose(op, "triton", fused)


def latent_problem(mu: Tensor, log_var: Tensor) -> str | None:
    """Why no fused version takes these, or None."""
    if mu.ndim != 3 or mu.shape != log_var.shape:
        return f"mu {tuple(mu.shape)} and log_var {tuple(log_var.shape)}"
    return None if mu.dtype == log_var.dtype else f"{_dtype(mu)} mu and {_dtype(log_var)} log_var"


def pixel_problem(x: Tensor, a: Tensor, b: Tensor | None = None) -> str | None:
    """Why no fused version takes pixels x for the parameters a and b, or None."""
    if x.requires_grad:
        return "a gradient to the pixels"
    if x.dtype not in (*DTYPES, torch.uint8) or (b is not None and b.dtype not in DTYPES):
        return "pixels or parameters in " + _dtype(x if b is None or b.dtype in DTYPES else b)
    if x.shape == a.shape[1:] and (b is None or b.shape == a.shape):
        return None if a.ndim <= 4 else "more than four axes"  # as a rule, and told in no time
    if a.ndim > 4 or not _fits(x, a) or x.shape[-1] != a.shape[-1]:
        return f"pixels {tuple(x.shape)} for parameters {tuple(a.shape)}"
    if b is not None and not _fits(b, a):
        return f"parameters {tuple(a.shape)} and {tuple(b.shape)}"
    return None


def _fits(x: Tensor, a: Tensor) -> bool:
    """Whether x broadcasts to the shape of a."""
    axes = zip(reversed(x.shape), reversed(a.shape), strict=False)
    return x.ndim <= a.ndim and all(n in (1, m) for n, m in axes)


def _no_kernel(first: Tensor) -> str | None:
    """Why no kernel takes this tensor on a GPU, or None."""
    if first.dtype not in DTYPES:
        return _dtype(first)
    if _in_transform():
        return "a torch.func transform"
    return None if _has_triton() else "triton is not installed"


def _no_own_path(op: str, first: Tensor) -> str | None:
    """Why an operation has no path of its own for this tensor on a CPU, or None.

    torch.compile does better with the reference, whose steps it can fuse.
    """
    if op not in cpu.__all__ or first.dtype != torch.float32 or first.device.type != "cpu":
        return _described(first.dtype, first.device.type)
    if torch.compiler.is_compiling():
        return "torch.compile"
    return "a torch.func transform" if _in_transform() else None


@lru_cache(maxsize=1)
def _has_triton() -> bool:
    return importlib.util.find_spec("triton") is not None


def _in_transform() -> bool:
    """Whether vmap, grad or another transform of torch.func is at work: the kernels have no rules
    for it. Dynamo cannot trace the question, and answers it by tracing the transform itself."""
    if torch.compiler.is_compiling():
        return False
    return torch._C._functorch.peek_interpreter_stack() is not None


def _dtype(x: Tensor) -> str:
    return str(x.dtype).removeprefix("torch.")


@lru_cache
def _described(dtype: torch.dtype, device: str) -> str:
    return f"{str(dtype).removeprefix('torch.')} on {device}"


def _choose(op: str, way: str, module: ModuleType) -> ModuleType:
    if not torch.compiler.is_compiling():
        _taken.setdefault(op, set()).add(way)
        if (op, way) not in _said:
            _said.add((op, way))
            LOG.info("%s takes its path %s", op, way)
    return module
