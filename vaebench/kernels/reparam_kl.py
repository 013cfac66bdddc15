"""Reparameterisation and the KL to N(0, I) in one Triton kernel, forward and backward.

    z = mu + exp(log_var / 2) * eps,    kl = sum_d (mu^2 + exp(log_var) - 1 - log_var) / 2

(Kingma & Welling 2014, section 2.4 and appendix B). The normals eps are those of `vaebench.noise`,
made in registers, and the backward pass makes them again: no noise touches memory.

Axes: K samples, S runs, B rows, D columns; numbers of w bytes (fp32: 4, bf16 and fp16: 2), computed
in fp32. Bytes per element of mu: (2 + K) w forward, (4 + K) w backward; and 4 per row for kl. Rows
may be strided, as the halves of a chunk are; other layouts of mu, log_var and dz are copied first.
"""

# Triton's functions have no types that a checker could follow:
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from vaebench.noise import Noise

DTYPES = (torch.float32, torch.bfloat16, torch.float16)

TILE = 1024
"""Elements per program."""

NUM_WARPS = 4
"""8 elements per thread, so that a thread owns two Philox calls and two 16-byte fp32 accesses."""

# sin(2 pi x) = x * (a Taylor polynomial of degree 5 in x^2), off by less than 6e-8 for |x| <= 1/4.
_SIN = [(-1) ** n * (2.0 * math.pi) ** (2 * n + 1) / math.factorial(2 * n + 1) for n in range(6)]
_SIN0, _SIN1, _SIN2, _SIN3, _SIN4, _SIN5 = map(tl.constexpr, _SIN)


def reparameterise_kl(
    mu: Tensor, log_var: Tensor, noise: Noise, num_samples: int = 1
) -> tuple[Tensor, Tensor]:
    """z [K, S, B, D] in the dtype of mu, and the KL in float32 [S, B]; from mu, log_var [S, B, D].

    Differentiable once. Raises ValueError for tensors that the kernel does not take.
    """
    _check(mu, log_var, noise, num_samples)
    first = noise.step, noise.first_sample, noise.first_row
    z, kl = _reparameterise_kl(mu, log_var, noise.keys, *first, num_samples)
    return z.transpose(0, 1), kl


def tile(num_columns: int) -> dict[str, int]:
    """Rows and columns of the tile of one program; a wider row than TILE is read in pieces."""
    block = min(max(4, triton.next_power_of_2(num_columns)), TILE)
    return {"ROWS": TILE // block, "BLOCK": block}


@torch.library.custom_op("vaebench::reparameterise_kl", mutates_args=())
def _reparameterise_kl(
    mu: Tensor,
    log_var: Tensor,
    keys: Sequence[int],
    step: int,
    first_sample: int,
    first_row: int,
    num_samples: int,
) -> tuple[Tensor, Tensor]:
    """z as [S, K, B, D], which the decoders of S runs flatten without a copy, and kl [S, B]."""
    z, kl = _outputs(mu, num_samples)
    mu, log_var = _with_even_rows(mu), _with_even_rows(log_var)
    counters = _key_tensor(tuple(keys), mu.device), step, first_sample, first_row
    with _device_of(mu):
        _forward[_grid(mu)](
            mu, log_var, z, kl, *counters, mu.shape[1], num_samples, **_constants(mu, log_var)
        )
    return z, kl


@torch.library.custom_op("vaebench::reparameterise_kl_backward", mutates_args=())
def _reparameterise_kl_backward(
    mu: Tensor,
    log_var: Tensor,
    dz: Tensor,
    dkl: Tensor,
    keys: Sequence[int],
    step: int,
    first_sample: int,
    first_row: int,
) -> tuple[Tensor, Tensor]:
    """Gradients to mu and log_var [S, B, D] from those to z [S, K, B, D] and kl [S, B]."""
    dmu, dlog_var = _like(mu), _like(mu)
    mu, log_var, dz = _with_even_rows(mu), _with_even_rows(log_var), dz.contiguous()
    counters = _key_tensor(tuple(keys), mu.device), step, first_sample, first_row
    with _device_of(mu):
        _backward[_grid(mu)](
            mu, log_var, dz, dkl, dmu, dlog_var, *counters,
            mu.shape[1], dz.shape[1], *dkl.stride(), **_constants(mu, log_var),
        )  # fmt: skip
    return dmu, dlog_var


@_reparameterise_kl.register_fake
def _(mu: Tensor, *args: Any) -> tuple[Tensor, Tensor]:
    return _outputs(mu, num_samples=args[-1])


@_reparameterise_kl_backward.register_fake
def _(mu: Tensor, *args: Any) -> tuple[Tensor, Tensor]:
    return _like(mu), _like(mu)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    mu, log_var, *ctx.counters, _ = inputs
    ctx.save_for_backward(mu, log_var)


def _differentiate(ctx: Any, dz: Tensor, dkl: Tensor) -> tuple[Tensor | None, ...]:
    gradients = _reparameterise_kl_backward(*ctx.saved_tensors, dz, dkl, *ctx.counters)
    return *gradients, None, None, None, None, None


_reparameterise_kl.register_autograd(_differentiate, setup_context=_save)


def _check(mu: Tensor, log_var: Tensor, noise: Noise, num_samples: int) -> None:
    if (mu.shape, mu.dtype, mu.device) != (log_var.shape, log_var.dtype, log_var.device):
        raise ValueError(
            "reparameterise_kl needs mu and log_var of one shape, dtype and device; got "
            f"{tuple(mu.shape)} {mu.dtype} {mu.device} and "
            f"{tuple(log_var.shape)} {log_var.dtype} {log_var.device}"
        )
    if mu.dtype not in DTYPES:
        known = ", ".join(map(str, DTYPES))
        raise ValueError(f"the kernel takes {known}; got {mu.dtype}: use vaebench.densities")
    if mu.ndim != 3 or mu.shape[0] != len(noise.keys) or num_samples < 1:
        raise ValueError(
            "reparameterise_kl needs mu [S, B, D], one key per run and at least one sample; got "
            f"{tuple(mu.shape)}, {len(noise.keys)} keys and {num_samples} samples"
        )


def _outputs(mu: Tensor, num_samples: int) -> tuple[Tensor, Tensor]:
    """Room for z [S, K, B, D] and kl [S, B]."""
    num_runs, num_rows, num_columns = mu.shape
    z = mu.new_empty(num_runs, num_samples, num_rows, num_columns)
    return z, mu.new_empty(num_runs, num_rows, dtype=torch.float32)


def _like(mu: Tensor) -> Tensor:
    return mu.new_empty(mu.shape)


def _with_even_rows(x: Tensor) -> Tensor:
    """x, copied unless all its rows are dense and one distance apart: [S, B, D]."""
    is_even = x.stride(2) == 1 and x.stride(0) == x.shape[1] * x.stride(1)
    return x if is_even else x.contiguous()


@functools.lru_cache(maxsize=64)
def _key_tensor(keys: tuple[int, ...], device: torch.device) -> Tensor:
    """The keys on the device: int64 [S]. Kept, because the copy to a GPU would stall every step."""
    return torch.tensor(keys, dtype=torch.int64, device=device)


def _device_of(x: Tensor) -> torch.cuda.device_of:
    """Makes x's device the current one, on which Triton launches."""
    return torch.cuda.device_of(x)


def _grid(mu: Tensor) -> tuple[int, int]:
    return triton.cdiv(mu.shape[1], tile(mu.shape[2])["ROWS"]), mu.shape[0]


def _constants(mu: Tensor, log_var: Tensor) -> dict[str, int]:
    """What a kernel is compiled for; strides too, or the compiler could not widen its accesses."""
    strides = {"MU_STRIDE": mu.stride(1), "LOG_VAR_STRIDE": log_var.stride(1)}
    return {"D": mu.shape[2], **strides, **tile(mu.shape[2]), "num_warps": NUM_WARPS}


@triton.jit
def _uniform(word):
    """As noise.uniform; x ^ (x >> 31) folds a negative x over to ~x."""
    signed = word.to(tl.int32, bitcast=True)
    return (signed ^ (signed >> 31)).to(tl.float32) * 4.6566127342e-10


@triton.jit
def _sin_turns(x):
    """sin(2 pi x), |x| <= 1/4."""
    y = x * x
    return x * (_SIN0 + y * (_SIN1 + y * (_SIN2 + y * (_SIN3 + y * (_SIN4 + y * _SIN5)))))


@triton.jit
def _normal_pair(u, v):
    """As noise.normal_pair, with the angle in turns and folded to a quarter turn.

    A library cosine costs twice the instructions and a stack for angles that never come.
    """
    radius = tl.sqrt(-2.0 * tl.log(tl.maximum(u, 1.0e-7)))
    turn = v - 0.5  # the opposite point of the circle
    away = tl.abs(turn)
    cos = _sin_turns(away - 0.25)
    sin = _sin_turns(tl.minimum(away, 0.5 - away))
    return radius * cos, radius * tl.where(turn < 0.0, sin, -sin)


@triton.jit
def _normals(key, step, sample, rows, columns, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """As noise.normals: [ROWS, BLOCK], from the rows' numbers and the first column's."""
    quads = (columns // 4 + tl.arange(0, BLOCK // 4)).to(tl.uint32)
    a, b, c, d = tl.philox(key, quads[None, :], rows[:, None], sample, step)
    n0, n1 = _normal_pair(_uniform(a), _uniform(b))
    n2, n3 = _normal_pair(_uniform(c), _uniform(d))
    return tl.join(tl.join(n0, n2), tl.join(n1, n3)).reshape(ROWS, BLOCK)


@triton.jit
def _exp_rest(x, exp_x):
    """exp(x) - 1 - x: by Taylor near 0, where the difference would lose its digits."""
    tail = 1 / 24 + x * (1 / 120 + x * (1 / 720 + x / 5040))
    near = x * x * (1 / 2 + x * (1 / 6 + x * tail))
    return tl.where(tl.abs(x) < 0.5, near, exp_x - 1.0 - x)


@triton.jit
def _load(pointer, offsets, inside):
    return tl.load(pointer + offsets, mask=inside, other=0.0).to(tl.float32)


@triton.jit
def _store(pointer, offsets, value, inside):
    tl.store(pointer + offsets, value.to(pointer.dtype.element_ty), mask=inside)


# These change from call to call and must not each compile a kernel. num_samples may: without its
# loop, K = 1 needs a third fewer registers.
RUN_TIME = ["step", "first_sample", "first_row", "num_rows", "dkl_run", "dkl_row"]


@triton.jit(do_not_specialize=RUN_TIME)
def _forward(
    mu_ptr, log_var_ptr, z_ptr, kl_ptr, keys_ptr,
    step: tl.uint32, first_sample: tl.uint32, first_row: tl.uint32, num_rows, num_samples,
    D: tl.constexpr, MU_STRIDE: tl.constexpr, LOG_VAR_STRIDE: tl.constexpr,
    ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """z [S, K, B, D] and kl [S, B] of one tile of rows of one run."""
    run = tl.program_id(1).to(tl.int64)
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    at = (run * num_rows + row)[:, None]
    key = tl.load(keys_ptr + run)
    kl = tl.zeros([ROWS], tl.float32)
    for column in range(0, D, BLOCK):
        columns = column + tl.arange(0, BLOCK)[None, :]
        inside = (row < num_rows)[:, None] & (columns < D)
        mu = _load(mu_ptr, at * MU_STRIDE + columns, inside)
        log_var = _load(log_var_ptr, at * LOG_VAR_STRIDE + columns, inside)
        std = tl.exp(0.5 * log_var)
        kl += 0.5 * tl.sum(mu * mu + _exp_rest(log_var, std * std), 1)
        for k in range(num_samples):
            # Casts, here and below: the interpreter hands over plain ints, of any width.
            sample = (first_sample + k).to(tl.uint32)
            rows = (first_row + row).to(tl.uint32)
            eps = _normals(key, step.to(tl.uint32), sample, rows, column, ROWS, BLOCK)
            z_at = ((run * num_samples + k) * num_rows + row)[:, None]
            _store(z_ptr, z_at * D + columns, mu + std * eps, inside)
    tl.store(kl_ptr + (run * num_rows + row), kl, mask=row < num_rows)


@triton.jit(do_not_specialize=RUN_TIME)
def _backward(
    mu_ptr, log_var_ptr, dz_ptr, dkl_ptr, dmu_ptr, dlog_var_ptr, keys_ptr,
    step: tl.uint32, first_sample: tl.uint32, first_row: tl.uint32, num_rows, num_samples,
    dkl_run, dkl_row,
    D: tl.constexpr, MU_STRIDE: tl.constexpr, LOG_VAR_STRIDE: tl.constexpr,
    ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """dmu = sum_k dz + dkl mu; dlog_var = (sum_k dz eps std + dkl (exp(log_var) - 1)) / 2."""
    run = tl.program_id(1).to(tl.int64)
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    at = (run * num_rows + row)[:, None]
    key = tl.load(keys_ptr + run)
    dkl = _load(dkl_ptr, run * dkl_run + row.to(tl.int64) * dkl_row, row < num_rows)[:, None]
    for column in range(0, D, BLOCK):
        columns = column + tl.arange(0, BLOCK)[None, :]
        inside = (row < num_rows)[:, None] & (columns < D)
        mu = _load(mu_ptr, at * MU_STRIDE + columns, inside)
        log_var = _load(log_var_ptr, at * LOG_VAR_STRIDE + columns, inside)
        std = tl.exp(0.5 * log_var)
        sum_dz = tl.zeros([ROWS, BLOCK], tl.float32)
        sum_dz_eps = tl.zeros([ROWS, BLOCK], tl.float32)
        for k in range(num_samples):
            sample = (first_sample + k).to(tl.uint32)
            rows = (first_row + row).to(tl.uint32)
            eps = _normals(key, step.to(tl.uint32), sample, rows, column, ROWS, BLOCK)
            dz_at = ((run * num_samples + k) * num_rows + row)[:, None]
            dz = _load(dz_ptr, dz_at * D + columns, inside)
            sum_dz += dz
            sum_dz_eps += dz * eps
        var_minus_1 = _exp_rest(log_var, std * std) + log_var
        _store(dmu_ptr, at * D + columns, sum_dz + dkl * mu, inside)
        dlog_var = 0.5 * (sum_dz_eps * std + dkl * var_minus_1)
        _store(dlog_var_ptr, at * D + columns, dlog_var, inside)
