"""Likelihoods on a CPU in C, one pass each way: see likelihood.c. Shapes as in `densities`.

The pixels have no gradient: the dispatch keeps those that need one away.
"""

# mypy: disable-error-code="override"

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vaebench.ops import c
from vaebench.ops.c.rows import dense_rows, empty, read
from vaebench.ops.cpu.differentiable_once import differentiable_once


def bernoulli_log_prob(x: Tensor, logits: Tensor) -> Tensor:
    """Compute what densities.bernoulli_log_prob does, in C."""
    log_prob: Tensor = _Bernoulli.apply(x, logits)
    return log_prob


def gaussian_log_prob(x: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    """Compute what densities.gaussian_log_prob does, in C."""
    log_prob: Tensor = _Gaussian.apply(x, mu, log_var)
    return log_prob


class _Bernoulli(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, logits: Tensor) -> Tensor:
        ctx.shape = logits.shape
        rows = _pixel_rows(x, logits), dense_rows(logits)
        log_prob = empty(ctx.shape[:-1])
        c.functions().vaebench_bernoulli_forward(
            log_prob.numel(), ctx.shape[-1], *_read_pixels(rows[0]), *read(rows[1]),
            log_prob.data_ptr(),
        )  # fmt: skip
        ctx.save_for_backward(*rows)
        return log_prob

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, upstream: Tensor) -> tuple[None, Tensor]:
        x, logits = ctx.saved_tensors
        upstream, dlogits = upstream.contiguous(), empty(ctx.shape)
        c.functions().vaebench_bernoulli_backward(
            upstream.numel(), ctx.shape[-1], *_read_pixels(x), *read(logits),
            upstream.data_ptr(), dlogits.data_ptr(),
        )  # fmt: skip
        return None, dlogits


class _Gaussian(torch.autograd.Function):
    """log_var may have one number for each pixel, or be narrow and have one for each row."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
        spread = log_var.expand(*mu.shape[:-1], log_var.shape[-1])
        ctx.shapes = mu.shape, spread.shape
        rows = _pixel_rows(x, mu), dense_rows(mu), dense_rows(_float32(spread))
        log_prob = empty(mu.shape[:-1])
        c.functions().vaebench_gaussian_forward(
            log_prob.numel(), mu.shape[-1], *_read_pixels(rows[0]), *read(rows[1]), *read(rows[2]),
            spread.shape[-1] == 1, log_prob.data_ptr(),
        )  # fmt: skip
        ctx.save_for_backward(*rows)
        return log_prob

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, upstream: Tensor) -> tuple[None, Tensor, Tensor]:
        x, mu, log_var = ctx.saved_tensors
        shape, wide = ctx.shapes
        upstream, dmu, dlog_var = upstream.contiguous(), empty(shape), empty(wide)
        c.functions().vaebench_gaussian_backward(
            upstream.numel(), shape[-1], *_read_pixels(x), *read(mu), *read(log_var),
            wide[-1] == 1, upstream.data_ptr(), dmu.data_ptr(), dlog_var.data_ptr(),
        )  # fmt: skip
        return None, dmu, dlog_var  # autograd sums it over axes that log_var lacks


def _pixel_rows(x: Tensor, like: Tensor) -> Tensor:
    """Rows that those of `like` [..., P] go through in turn: its own, or those of one sample."""
    is_of_one_sample = x.shape == like.shape[1:]
    return dense_rows(_float32(x if is_of_one_sample else x.expand(like.shape)))


def _read_pixels(x: Tensor) -> tuple[int, ...]:
    """Address, number of rows, and how far apart they are."""
    address, stride = read(x)
    return address, x.shape[:-1].numel(), stride


def _float32(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float32 else x.float()
