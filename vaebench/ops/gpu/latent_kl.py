"""Reparameterisation and the KL to N(0, I) on a GPU: one kernel forward, one backward.

    z = mu + exp(log_var / 2) * eps,    kl = sum_d (mu^2 + exp(log_var) - 1 - log_var) / 2

(Kingma & Welling 2014, section 2.4 and appendix B). The normals eps are those of
`vaebench.ops.noise`, made in registers, and the backward pass makes them again: no noise touches
memory.

Axes: K samples, S runs, B rows, D columns; numbers of w bytes (fp32: 4, bf16 and fp16: 2), computed
in fp32. Bytes per element of mu: (2 + K) w forward, (4 + K) w backward; and 4 per row for kl, or 4
per element where it is asked for by dimension.
"""

# mypy: allow-untyped-decorators

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vaebench.ops.gpu import latent_launch
from vaebench.ops.noise import Noise


def reparameterise_kl(
    mu: Tensor, log_var: Tensor, noise: Noise, num_samples: int = 1
) -> tuple[Tensor, Tensor]:
    """z [K, S, B, D] in the dtype of mu, and the KL in float32 [S, B]; from mu, log_var [S, B, D].

    Differentiable once. Raises ValueError for tensors that the kernel does not take.
    """
    return _call("reparameterise_kl", mu, log_var, noise, num_samples, False)


def reparameterise_kl_per_dimension(
    mu: Tensor, log_var: Tensor, noise: Noise, num_samples: int = 1
) -> tuple[Tensor, Tensor]:
    """Samples as by reparameterise_kl, with the KL of each dimension: [S, B, D]."""
    return _call("reparameterise_kl_per_dimension", mu, log_var, noise, num_samples, True)


def _call(
    name: str, mu: Tensor, log_var: Tensor, noise: Noise, num_samples: int, per_dimension: bool
) -> tuple[Tensor, Tensor]:
    latent_launch.check(name, mu, log_var, noise, num_samples)
    z, kl = _op(mu, log_var, *latent_launch.counters_of(noise), num_samples, per_dimension)
    return z.transpose(0, 1), kl


@torch.library.custom_op("vaebench::reparameterise_kl", mutates_args=())
def _op(
    mu: Tensor,
    log_var: Tensor,
    keys: Sequence[int],
    step: int,
    first_sample: int,
    first_row: int,
    num_samples: int,
    per_dimension: bool,
) -> tuple[Tensor, Tensor]:
    """z as [S, K, B, D], and kl [S, B] or [S, B, D]."""
    z, kl = _outputs(mu, num_samples, per_dimension)
    latent_launch.launch_forward(mu, log_var, z, (keys, step, first_sample, first_row), kl=kl)
    return z, kl


@torch.library.custom_op("vaebench::reparameterise_kl_backward", mutates_args=())
def _backward_op(
    mu: Tensor,
    log_var: Tensor,
    dz: Tensor,
    dkl: Tensor,
    keys: Sequence[int],
    step: int,
    first_sample: int,
    first_row: int,
) -> tuple[Tensor, Tensor]:
    """Gradients to mu and log_var [S, B, D] from those to z [S, K, B, D] and kl."""
    counters = keys, step, first_sample, first_row
    return latent_launch.launch_backward(mu, log_var, dz, counters, dkl=dkl)


def _outputs(mu: Tensor, num_samples: int, per_dimension: bool) -> tuple[Tensor, Tensor]:
    kl = mu.new_empty(mu.shape[: 3 if per_dimension else 2], dtype=torch.float32)
    return latent_launch.empty_z(mu, num_samples), kl


@_op.register_fake
def _(mu: Tensor, *args: Any) -> tuple[Tensor, Tensor]:
    return _outputs(mu, *args[-2:])


@_backward_op.register_fake
def _(mu: Tensor, *args: Any) -> tuple[Tensor, Tensor]:
    return latent_launch.empty_like(mu), latent_launch.empty_like(mu)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    mu, log_var, *ctx.counters, _, _ = inputs
    ctx.save_for_backward(mu, log_var)


def _differentiate(ctx: Any, dz: Tensor, dkl: Tensor) -> tuple[Tensor | None, ...]:
    gradients = _backward_op(*ctx.saved_tensors, dz, dkl, *ctx.counters)
    return *gradients, None, None, None, None, None, None


_op.register_autograd(_differentiate, setup_context=_save)
