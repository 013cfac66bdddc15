"""Launches of the kernels of the latent step, which `latent_kl` and `latent_log_probs` share.

Axes: K samples, S runs, B rows, D columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vaebench.ops.eligible import DTYPES
from vaebench.ops.gpu import latent_kernels
from vaebench.ops.gpu.launch import (
    NUM_WARPS,
    device_of,
    extra_steps,
    in_rows,
    key_tensor,
    num_tiles,
    tile,
    with_whole_rows,
)
from vaebench.ops.noise import Noise

Counters = tuple[Sequence[int], int, int, int]
"""Keys of the runs, step, first sample, first row: what a Noise holds."""


def counters_of(noise: Noise) -> Counters:
    return noise.keys, noise.step, noise.first_sample, noise.first_row


def check(op: str, mu: Tensor, log_var: Tensor, noise: Noise, num_samples: int) -> None:
    """Raises ValueError for arguments that the kernels do not take."""
    if (mu.shape, mu.dtype, mu.device) != (log_var.shape, log_var.dtype, log_var.device):
        raise ValueError(
            f"{op} needs mu and log_var of one shape, dtype and device; got "
            f"{tuple(mu.shape)} {mu.dtype} {mu.device} and "
            f"{tuple(log_var.shape)} {log_var.dtype} {log_var.device}"
        )
    if mu.dtype not in DTYPES:
        known = ", ".join(map(str, DTYPES))
        raise ValueError(f"the kernel takes {known}; got {mu.dtype}: use vaebench.ops.densities")
    if mu.ndim != 3 or mu.shape[0] != len(noise.keys) or num_samples < 1:
        raise ValueError(
            f"{op} needs mu [S, B, D], one key per run and at least one sample; got "
            f"{tuple(mu.shape)}, {len(noise.keys)} keys and {num_samples} samples"
        )


def empty_z(mu: Tensor, num_samples: int) -> Tensor:
    """Memory for z as [S, K, B, D], which the decoders of S runs flatten without a copy."""
    num_runs, num_rows, num_columns = mu.shape
    return mu.new_empty(num_runs, num_samples, num_rows, num_columns)


def empty_rows(mu: Tensor, *outer: int) -> Tensor:
    """Memory for one float32 per row: [*outer, S, B]."""
    return mu.new_empty(*outer, *mu.shape[:2], dtype=torch.float32)


def empty_like(mu: Tensor) -> Tensor:
    """Memory for a gradient [S, B, D], dense."""
    return mu.new_empty(mu.shape)


def launch_forward(
    mu: Tensor,
    log_var: Tensor,
    z: Tensor,
    counters: Counters,
    *,
    kl: Tensor | None = None,
    log_q: Tensor | None = None,
    log_p: Tensor | None = None,
) -> None:
    """Fills z [S, K, B, D] and what is not None of kl [S, B] or [S, B, D], log_q, log_p."""
    mu, log_var = with_whole_rows(mu), with_whole_rows(log_var)
    with device_of(mu):
        latent_kernels.forward[_grid(mu)](
            mu, log_var, z, kl, log_q, log_p,
            *_where(counters, mu), *mu.shape[:2], z.shape[1], in_rows(mu, 0), in_rows(log_var, 0),
            **constants(mu, log_var),
            KL=kl is not None, PER_DIMENSION=kl is not None and kl.ndim == 3,
            LOG_PROBS=log_q is not None,
        )  # fmt: skip


def launch_backward(
    mu: Tensor,
    log_var: Tensor,
    dz: Tensor,
    counters: Counters,
    *,
    dkl: Tensor | None = None,
    dq: Tensor | None = None,
    dp: Tensor | None = None,
    path: bool = False,
) -> tuple[Tensor, Tensor]:
    """Gradients to mu and log_var [S, B, D] from those to z [S, K, B, D] and the rest."""
    dmu, dlog_var = empty_like(mu), empty_like(mu)
    mu, log_var, dz = map(with_whole_rows, (mu, log_var, dz))
    per_dimension = dkl is not None and dkl.ndim == 3
    if per_dimension and dkl is not None:
        dkl = dkl.contiguous()
    with device_of(mu):
        latent_kernels.backward[_grid(mu)](
            mu, log_var, dz, dkl, dq, dp, dmu, dlog_var,
            *_where(counters, mu), *mu.shape[:2], dz.shape[1], in_rows(mu, 0), in_rows(log_var, 0),
            in_rows(dz, 0), in_rows(dz, 1), *_strides(dkl, 2), *_strides(dq, 3), *_strides(dp, 3),
            **constants(mu, log_var), DZ_STRIDE=dz.stride(-2),
            KL=dkl is not None, PER_DIMENSION=per_dimension,
            LOG_PROBS=dq is not None, PATH=path,
        )  # fmt: skip
    return dmu, dlog_var


def constants(mu: Tensor, log_var: Tensor) -> dict[str, int]:
    """What a kernel is compiled for; strides too, or the compiler could not widen its accesses."""
    strides = {"MU_STRIDE": mu.stride(1), "LOG_VAR_STRIDE": log_var.stride(1)}
    return {"D": mu.shape[2], **strides, **tile(mu.shape[2]), "num_warps": NUM_WARPS}


def _grid(mu: Tensor) -> tuple[int, int]:
    return num_tiles(*mu.shape[1:]), mu.shape[0]


def _where(counters: Counters, mu: Tensor) -> tuple[Tensor, Tensor, int, int, int]:
    keys, step, first_sample, first_row = counters
    on_device = key_tensor(tuple(keys), mu.device), extra_steps(mu.device)
    return *on_device, step, first_sample, first_row


def _strides(x: Tensor | None, count: int) -> tuple[int, ...]:
    """The first strides of a gradient; zeros where there is no gradient."""
    return (0,) * count if x is None else x.stride()[:count]
