"""log p(x|z) summed over the pixels of each row on a GPU: one kernel forward, one backward.

    log_prob = sum_p log p(x_p; a_p, b_p),    da_p = dlog_prob * slope_a(x_p, a_p, b_p)

with the laws of `pixel_laws`; b is absent, one per row or one per pixel. The backward pass computes
its slopes from the inputs again. x has no gradient.

Axes: K samples, S runs, B rows, P pixels. Parameters of w bytes (fp32: 4, bf16 and fp16: 2), n of
them per pixel, and pixels of v bytes (uint8: 1), computed in fp32. The least traffic in bytes per
pixel of a row of one sample: forward n w + v, backward 2 n w + v. Per row 4, for log_prob, and 4
in each pass for a b that is one per row. With K > 1 the programs of all samples of a row run side
by side, so that x comes from memory for one of them and from the cache for the rest: v / K.
"""

# mypy: allow-untyped-decorators

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vaebench.ops.eligible import DTYPES, pixel_problem
from vaebench.ops.gpu import likelihood_launch


def bernoulli_log_prob(x: Tensor, logits: Tensor) -> Tensor:
    """log p(x; logits) in float32: [..., P] -> [...]. x in {0, 1}."""
    return _call("bernoulli", x, logits, None)


def gaussian_log_prob(x: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    """log N(x; mu, diag(exp(log_var))) in float32: [..., P] -> [...].

    log_var has one value per pixel, or one for all pixels of a row.
    """
    return _call("gaussian", x, mu, log_var)


def continuous_bernoulli_log_prob(x: Tensor, logits: Tensor) -> Tensor:
    """log p(x; logits) in float32: [..., P] -> [...]. x in [0, 1]."""
    return _call("continuous_bernoulli", x, logits, None)


def discretised_logistic_log_prob(x: Tensor, loc: Tensor, log_scale: Tensor) -> Tensor:
    """The log mass of the bins of x in float32: [..., P] -> [...]."""
    return _call("discretised_logistic", x, loc, log_scale)


def _call(law: str, x: Tensor, a: Tensor, b: Tensor | None) -> Tensor:
    """Launch the kernel of a law on [K, S, B, P], whatever the axes. Raises ValueError for what
    it does not take."""
    problem = pixel_problem(x, a, b) if a.dtype in DTYPES else f"parameters in {a.dtype}"
    if problem:
        raise ValueError(f"the kernel of {law} takes no {problem}: use vaebench.ops.densities")
    full = (1,) * (4 - a.ndim) + a.shape
    per_row = b is not None and b.shape[-1] == 1 and a.shape[-1] > 1
    if b is not None:
        b = b.expand(*a.shape[:-1], b.shape[-1]).reshape(*full[:-1], b.shape[-1])
        b = b[..., 0].float() if per_row else b
    out: Tensor = _op(x.expand(full), a.reshape(full), b, law)
    return out.reshape(a.shape[:-1])


@torch.library.custom_op("vaebench::likelihood_rows", mutates_args=())
def _op(x: Tensor, a: Tensor, b: Tensor | None, law: str) -> Tensor:
    """x and a [K, S, B, P]; b the same, [K, S, B] or absent -> [K, S, B]."""
    log_prob = likelihood_launch.empty_rows(a)
    likelihood_launch.launch_forward(x, a, b, log_prob, law)
    return log_prob


@torch.library.custom_op("vaebench::likelihood_rows_backward", mutates_args=())
def _backward_op(
    x: Tensor, a: Tensor, b: Tensor | None, dlog_prob: Tensor, law: str
) -> tuple[Tensor, Tensor]:
    """Gradients to a as [S, K, B, P], and to b the same or, one per row, as [K, S, B]."""
    da, db = likelihood_launch.empty_gradients(a, b)
    likelihood_launch.launch_backward(x, a, b, dlog_prob, da, db, law)
    return da, db


@_op.register_fake
def _(x: Tensor, a: Tensor, *_: Any) -> Tensor:
    return likelihood_launch.empty_rows(a)


@_backward_op.register_fake
def _(x: Tensor, a: Tensor, b: Tensor | None, *_: Any) -> tuple[Tensor, Tensor]:
    return likelihood_launch.empty_gradients(a, b)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.law = inputs
    ctx.save_for_backward(*tensors)


def _differentiate(ctx: Any, dlog_prob: Tensor) -> tuple[Tensor | None, ...]:
    _, _, b = ctx.saved_tensors
    da, db = _backward_op(*ctx.saved_tensors, dlog_prob, ctx.law)
    if b is None:
        return None, da.transpose(0, 1), None, None
    return None, da.transpose(0, 1), db.transpose(0, 1) if b.ndim == 4 else db, None


_op.register_autograd(_differentiate, setup_context=_save)
