"""The two kernels of the latent step: reparameterisation with the KL, or with log-densities.

One body serves all, because each is the same pass over mu and log_var; what is not asked for is not
compiled. `latent_launch` launches them; formulas and traffic stand in `latent_kl` and
`latent_log_probs`.

Axes: K samples, S runs, B rows, D columns.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators

from __future__ import annotations

import triton
import triton.language as tl

from vaebench.ops.gpu.device import LOG_2PI, exp_rest, load, normals, store

# These change from call to call and must not each compile a kernel. num_samples may: without its
# loop, K = 1 needs a third fewer registers.
COUNTERS = ["step", "first_sample", "first_row", "num_runs", "num_rows", "mu_run", "log_var_run"]
RUN_TIME = [
    *COUNTERS,
    *("dz_run", "dz_sample", "dkl_run", "dkl_row"),
    *("dq_sample", "dq_run", "dq_row", "dp_sample", "dp_run", "dp_row"),
]


@triton.jit(do_not_specialize=COUNTERS)
def forward(
    mu_ptr, log_var_ptr, z_ptr, kl_ptr, log_q_ptr, log_p_ptr, keys_ptr, extra_ptr,
    step: tl.uint32, first_sample: tl.uint32, first_row: tl.uint32,
    num_runs, num_rows, num_samples, mu_run, log_var_run,
    D: tl.constexpr, MU_STRIDE: tl.constexpr, LOG_VAR_STRIDE: tl.constexpr,
    KL: tl.constexpr, PER_DIMENSION: tl.constexpr, LOG_PROBS: tl.constexpr,
    ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """z [S, K, B, D] of one tile of rows of one run; as asked for, kl [S, B] or [S, B, D], and
    log q(z|x) and log p(z) [K, S, B]."""
    run = tl.program_id(1).to(tl.int64)
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    key = tl.load(keys_ptr + run)
    # Casts, here and below: the interpreter hands over plain ints, of any width.
    now = step.to(tl.uint32) + tl.load(extra_ptr).to(tl.uint32)
    kl = tl.zeros([ROWS], tl.float32)
    for column in range(0, D, BLOCK):
        columns = column + tl.arange(0, BLOCK)[None, :]
        inside = (row < num_rows)[:, None] & (columns < D)
        mu = load(mu_ptr, (run * mu_run + row)[:, None] * MU_STRIDE + columns, inside)
        log_var_at = (run * log_var_run + row)[:, None] * LOG_VAR_STRIDE + columns
        log_var = load(log_var_ptr, log_var_at, inside)
        std = tl.exp(0.5 * log_var)
        if KL:
            parts = 0.5 * (mu * mu + exp_rest(log_var, std * std))
            if PER_DIMENSION:
                store(kl_ptr, (run * num_rows + row)[:, None] * D + columns, parts, inside)
            else:
                kl += tl.sum(parts, 1)
        for k in range(num_samples):
            sample = (first_sample + k).to(tl.uint32)
            rows = (first_row + row).to(tl.uint32)
            eps = normals(key, now, sample, rows, column, ROWS, BLOCK)
            z = mu + std * eps
            z_at = ((run * num_samples + k) * num_rows + row)[:, None]
            store(z_ptr, z_at * D + columns, z, inside)
            if LOG_PROBS:
                log_q = -0.5 * tl.sum(tl.where(inside, eps * eps + log_var + LOG_2PI, 0.0), 1)
                log_p = -0.5 * tl.sum(tl.where(inside, z * z + LOG_2PI, 0.0), 1)
                at = (k * num_runs.to(tl.int64) + run) * num_rows + row
                if column > 0:  # only of rows wider than a tile: their sums grow in memory
                    tl.debug_barrier()
                    log_q += load(log_q_ptr, at, row < num_rows)
                    log_p += load(log_p_ptr, at, row < num_rows)
                    tl.debug_barrier()
                store(log_q_ptr, at, log_q, row < num_rows)
                store(log_p_ptr, at, log_p, row < num_rows)
    if KL and not PER_DIMENSION:
        tl.store(kl_ptr + (run * num_rows + row), kl, mask=row < num_rows)


@triton.jit(do_not_specialize=RUN_TIME)
def backward(
    mu_ptr, log_var_ptr, dz_ptr, dkl_ptr, dq_ptr, dp_ptr, dmu_ptr, dlog_var_ptr,
    keys_ptr, extra_ptr,
    step: tl.uint32, first_sample: tl.uint32, first_row: tl.uint32,
    num_runs, num_rows, num_samples, mu_run, log_var_run, dz_run, dz_sample,
    dkl_run, dkl_row, dq_sample, dq_run, dq_row, dp_sample, dp_run, dp_row,
    D: tl.constexpr, MU_STRIDE: tl.constexpr, LOG_VAR_STRIDE: tl.constexpr,
    DZ_STRIDE: tl.constexpr,
    KL: tl.constexpr, PER_DIMENSION: tl.constexpr, LOG_PROBS: tl.constexpr, PATH: tl.constexpr,
    ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """With g = dz - dp z, and for PATH g = dz - dp z - dq eps / std:

    dmu = sum_k g + dkl mu,
    dlog_var = (sum_k g eps std + dkl (exp(log_var) - 1) - (0 if PATH else sum_k dq)) / 2.
    """
    run = tl.program_id(1).to(tl.int64)
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    valid = row < num_rows
    key = tl.load(keys_ptr + run)
    now = step.to(tl.uint32) + tl.load(extra_ptr).to(tl.uint32)
    if KL and not PER_DIMENSION:
        dkl_at = run * dkl_run + row.to(tl.int64) * dkl_row
        dkl = load(dkl_ptr, dkl_at, valid)[:, None]
    for column in range(0, D, BLOCK):
        columns = column + tl.arange(0, BLOCK)[None, :]
        inside = valid[:, None] & (columns < D)
        mu = load(mu_ptr, (run * mu_run + row)[:, None] * MU_STRIDE + columns, inside)
        log_var_at = (run * log_var_run + row)[:, None] * LOG_VAR_STRIDE + columns
        log_var = load(log_var_ptr, log_var_at, inside)
        std = tl.exp(0.5 * log_var)
        inverse = tl.exp(-0.5 * log_var)
        sum_g = tl.zeros([ROWS, BLOCK], tl.float32)
        sum_std_g_eps = tl.zeros([ROWS, BLOCK], tl.float32)
        for k in range(num_samples):
            sample = (first_sample + k).to(tl.uint32)
            rows = (first_row + row).to(tl.uint32)
            eps = normals(key, now, sample, rows, column, ROWS, BLOCK)
            dz_at = (run * dz_run + k * dz_sample.to(tl.int64) + row)[:, None] * DZ_STRIDE
            g = load(dz_ptr, dz_at + columns, inside)
            if LOG_PROBS:
                dq_at = k * dq_sample.to(tl.int64) + run * dq_run + row * dq_row.to(tl.int64)
                dp_at = k * dp_sample.to(tl.int64) + run * dp_run + row * dp_row.to(tl.int64)
                dq = load(dq_ptr, dq_at, valid)[:, None]
                g -= load(dp_ptr, dp_at, valid)[:, None] * (mu + std * eps)
                if PATH:
                    sum_std_g_eps -= dq * eps * eps
                    sum_g -= dq * eps * inverse
                else:
                    sum_std_g_eps -= dq
            sum_g += g
            sum_std_g_eps += g * eps * std
        at = (run * num_rows + row)[:, None] * D + columns
        if KL:
            if PER_DIMENSION:
                dkl = load(dkl_ptr, at, inside)
            sum_g += dkl * mu
            sum_std_g_eps += dkl * (exp_rest(log_var, std * std) + log_var)
        store(dmu_ptr, at, sum_g, inside)
        store(dlog_var_ptr, at, 0.5 * sum_std_g_eps, inside)
