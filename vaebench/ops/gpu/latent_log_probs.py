"""Reparameterisation with the densities of each sample, the terms of a sampled KL, on a GPU.

    z = mu + exp(log_var / 2) * eps,    log p(z) = -sum_d (z^2 + log 2 pi) / 2,
    log q(z|x) = -sum_d (eps^2 + log_var + log 2 pi) / 2

By eps, not by (z - mu) / std, log q keeps its digits where std is far below mu; and both densities
are those of z before it is rounded to the dtype of mu. Gradients, with g = dz - dp z:

    dmu = sum_k g,    dlog_var = sum_k (g eps std - dq) / 2

because the gradient of log q through z and the one through mu cancel. With the path derivative
(Roeder et al. 2017, "Sticking the landing") the parameters of q within log q are held fixed,
and its gradient comes through z alone:

    g = dz - dp z - dq eps / std,    dlog_var = sum_k g eps std / 2

Axes: K samples, S runs, B rows, D columns; numbers of w bytes, computed in fp32; noise as in
`latent_kl`. The least traffic in bytes per element of mu: forward (2 + K) w, for mu, log_var and K
times z; backward (4 + K) w, for mu, log_var, K times dz, dmu and dlog_var. And per row 8 K, for
both densities.
"""

# mypy: allow-untyped-decorators

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vaebench.ops.gpu import latent_launch
from vaebench.ops.noise import Noise


def reparameterise_log_probs(
    mu: Tensor, log_var: Tensor, noise: Noise, num_samples: int = 1, *, path: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """z [K, S, B, D] in the dtype of mu; log q(z|x) and log p(z) in float32 [K, S, B].

    `path`: the gradient of log q(z|x) comes through z alone. Differentiable once. Raises
    ValueError for tensors that the kernel does not take.
    """
    latent_launch.check("reparameterise_log_probs", mu, log_var, noise, num_samples)
    z, log_q, log_p = _op(mu, log_var, *latent_launch.counters_of(noise), num_samples, path)
    return z.transpose(0, 1), log_q, log_p


@torch.library.custom_op("vaebench::reparameterise_log_probs", mutates_args=())
def _op(
    mu: Tensor,
    log_var: Tensor,
    keys: Sequence[int],
    step: int,
    first_sample: int,
    first_row: int,
    num_samples: int,
    path: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """z as [S, K, B, D], and log q(z|x) and log p(z) [K, S, B]. `path` is for the gradient."""
    z, log_q, log_p = _outputs(mu, num_samples)
    counters = keys, step, first_sample, first_row
    latent_launch.launch_forward(mu, log_var, z, counters, log_q=log_q, log_p=log_p)
    return z, log_q, log_p


@torch.library.custom_op("vaebench::reparameterise_log_probs_backward", mutates_args=())
def _backward_op(
    mu: Tensor,
    log_var: Tensor,
    dz: Tensor,
    dq: Tensor,
    dp: Tensor,
    keys: Sequence[int],
    step: int,
    first_sample: int,
    first_row: int,
    path: bool,
) -> tuple[Tensor, Tensor]:
    """Gradients to mu and log_var [S, B, D] from those to z [S, K, B, D] and both densities."""
    counters = keys, step, first_sample, first_row
    return latent_launch.launch_backward(mu, log_var, dz, counters, dq=dq, dp=dp, path=path)


def _outputs(mu: Tensor, num_samples: int) -> tuple[Tensor, Tensor, Tensor]:
    log_q, log_p = (latent_launch.empty_rows(mu, num_samples) for _ in range(2))
    return latent_launch.empty_z(mu, num_samples), log_q, log_p


@_op.register_fake
def _(mu: Tensor, *args: Any) -> tuple[Tensor, Tensor, Tensor]:
    return _outputs(mu, num_samples=args[-2])


@_backward_op.register_fake
def _(mu: Tensor, *args: Any) -> tuple[Tensor, Tensor]:
    return latent_launch.empty_like(mu), latent_launch.empty_like(mu)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    mu, log_var, *ctx.counters, _, ctx.path = inputs
    ctx.save_for_backward(mu, log_var)


def _differentiate(ctx: Any, dz: Tensor, dq: Tensor, dp: Tensor) -> tuple[Tensor | None, ...]:
    gradients = _backward_op(*ctx.saved_tensors, dz, dq, dp, *ctx.counters, ctx.path)
    return *gradients, None, None, None, None, None, None


_op.register_autograd(_differentiate, setup_context=_save)
