"""Which tensors the fused operations take: their types, shapes and devices."""

from __future__ import annotations

import torch
from torch import Tensor

from vaebench.ops.noise import Noise

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
"""What the kernels read and write; they compute in float32."""


def latent_problem(mu: Tensor, log_var: Tensor, noise: Noise) -> str | None:
    """Why no fused version takes these, or None."""
    if mu.ndim != 3 or mu.shape != log_var.shape:
        return f"mu {tuple(mu.shape)} and log_var {tuple(log_var.shape)}"
    if len(mu) != len(noise.keys):
        return f"{len(noise.keys)} keys for {len(mu)} runs"
    if noise.source is not None:
        return "numbers from a recording"
    if mu.device != log_var.device:
        return f"mu on {mu.device} and log_var on {log_var.device}"
    return (
        None
        if mu.dtype == log_var.dtype
        else f"{dtype_name(mu)} mu and {dtype_name(log_var)} log_var"
    )


def pixel_problem(x: Tensor, a: Tensor, b: Tensor | None = None) -> str | None:
    """Why no fused version takes pixels x for the parameters a and b, or None."""
    if x.requires_grad:
        return "a gradient to the pixels"
    if x.dtype not in (*DTYPES, torch.uint8) or (b is not None and b.dtype not in DTYPES):
        return "pixels or parameters in " + dtype_name(x if b is None or b.dtype in DTYPES else b)
    if x.device != a.device or (b is not None and b.device != a.device):
        return "pixels and parameters on several devices"
    if x.shape == a.shape[1:] and (b is None or b.shape == a.shape):
        return None if a.ndim <= 4 else "more than four axes"  # the usual case, found quickly
    if a.ndim > 4 or not broadcasts(x, a) or x.shape[-1] != a.shape[-1]:
        return f"pixels {tuple(x.shape)} for parameters {tuple(a.shape)}"
    if b is not None and not broadcasts(b, a):
        return f"parameters {tuple(a.shape)} and {tuple(b.shape)}"
    return None


def broadcasts(x: Tensor, a: Tensor) -> bool:
    """Whether x broadcasts to the shape of a."""
    axes = zip(reversed(x.shape), reversed(a.shape), strict=False)
    return x.ndim <= a.ndim and all(n in (1, m) for n, m in axes)


def dtype_name(x: Tensor) -> str:
    """The dtype of a tensor without its prefix: "float32"."""
    return str(x.dtype).removeprefix("torch.")
