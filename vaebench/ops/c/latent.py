"""The latent step on a CPU in C, one pass each way: see latent.c.

Axes: K samples, S runs, B rows, D columns.
"""

# mypy: disable-error-code="override"

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vaebench.ops import c
from vaebench.ops.c import noise as in_c
from vaebench.ops.c.rows import dense_rows, empty, read
from vaebench.ops.cpu.differentiable_once import differentiable_once
from vaebench.ops.noise import Noise, place


def reparameterise_kl(
    mu: Tensor, log_var: Tensor, noise: Noise, num_samples: int = 1
) -> tuple[Tensor, Tensor]:
    """Compute what densities.reparameterise_kl does, in C."""
    z, kl = _ReparameteriseKL.apply(mu, log_var, noise, num_samples, False)
    return z, kl


def reparameterise_kl_per_dimension(
    mu: Tensor, log_var: Tensor, noise: Noise, num_samples: int = 1
) -> tuple[Tensor, Tensor]:
    """Compute what densities.reparameterise_kl_per_dimension does, in C."""
    z, kl = _ReparameteriseKL.apply(mu, log_var, noise, num_samples, True)
    return z, kl


def reparameterise_log_probs(
    mu: Tensor, log_var: Tensor, noise: Noise, num_samples: int = 1, *, path: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute what densities.reparameterise_log_probs does, in C."""
    z, log_q, log_p = _ReparameteriseLogProbs.apply(mu, log_var, noise, num_samples, path)
    return z, log_q, log_p


class _ReparameteriseKL(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, mu: Tensor, log_var: Tensor, noise: Noise, num_samples: int, per_dimension: bool
    ) -> tuple[Tensor, Tensor]:
        kl = empty(mu.shape if per_dimension else mu.shape[:2])
        z = _forward(ctx, mu, log_var, noise, num_samples, kl.data_ptr(), per_dimension, None, None)
        ctx.per_dimension = per_dimension
        return z, kl

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, dz: Tensor, dkl: Tensor) -> tuple[Tensor | None, ...]:
        dkl = dkl.contiguous()
        upstream = dkl.data_ptr(), ctx.per_dimension, None, None, False
        return *_backward(ctx, dz, upstream), None, None, None


class _ReparameteriseLogProbs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, mu: Tensor, log_var: Tensor, noise: Noise, num_samples: int, path: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        log_q, log_p = (empty((num_samples, *mu.shape[:2])) for _ in range(2))
        densities = log_q.data_ptr(), log_p.data_ptr()
        z = _forward(ctx, mu, log_var, noise, num_samples, None, False, *densities)
        ctx.path = path
        return z, log_q, log_p

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, dz: Tensor, dq: Tensor, dp: Tensor) -> tuple[Tensor | None, ...]:
        dq, dp = dq.contiguous(), dp.contiguous()
        upstream = None, False, dq.data_ptr(), dp.data_ptr(), ctx.path
        return *_backward(ctx, dz, upstream), None, None, None


def _forward(
    ctx: Any, mu: Tensor, log_var: Tensor, noise: Noise, num_samples: int, *asked: int | None
) -> Tensor:
    """z [K, S, B, D]; and fills what is `asked` for, the last arguments of the C function."""
    assert len(noise.keys) == len(mu) and num_samples > 0, "C reads a key for each run"
    ctx.shape = mu.shape
    z = empty((num_samples, *ctx.shape))
    step = empty(z.shape) if any(ctx.needs_input_grad) else z
    mu, log_var = dense_rows(mu), dense_rows(log_var)
    c.functions().vaebench_latent_forward(
        *in_c.place(*place(noise, num_samples, *ctx.shape[1:])), *read(mu), *read(log_var),
        z.data_ptr(), step.data_ptr(), *asked,
    )  # fmt: skip
    ctx.save_for_backward(mu, log_var, step)
    return z


def _backward(ctx: Any, dz: Tensor, upstream: tuple[int | None, ...]) -> tuple[Tensor, Tensor]:
    """Gradients to mu and log_var [S, B, D]; `upstream` as the C function takes it."""
    mu, log_var, step = ctx.saved_tensors
    num_runs, num_rows, num_columns = ctx.shape
    dmu, dlog_var, dz = empty(ctx.shape), empty(ctx.shape), dense_rows(dz)
    c.functions().vaebench_latent_backward(
        len(step), num_runs * num_rows, num_columns, *read(mu), *read(log_var), step.data_ptr(),
        *read(dz), *upstream, dmu.data_ptr(), dlog_var.data_ptr(),
    )  # fmt: skip
    return dmu, dlog_var
