"""Log-densities of single pixels on a device, with their slopes: the formulas of `densities`.

Each function takes a pixel x and its parameters a, b in float32, elementwise. `*_value` gives
log p(x; a, b), `*_slopes` its derivatives by a and b. A law with one parameter ignores b.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators

from __future__ import annotations

import math

import triton
import triton.language as tl

from vaebench.ops.densities import NUM_LEVELS
from vaebench.ops.gpu.device import LOG_2PI

HALF_BIN = tl.constexpr(0.5 / (NUM_LEVELS - 1))
LOG_BIN = tl.constexpr(-math.log(NUM_LEVELS - 1))


@triton.jit
def log1p(x):
    """log(1 + x) for x >= 0. Its second part is what the sum lost by rounding."""
    sum_ = 1.0 + x
    return tl.log(sum_) - ((sum_ - 1.0) - x)


@triton.jit
def sigmoid(x):
    """1 / (1 + exp(-x)), without overflow."""
    small = tl.exp(-tl.abs(x))
    return tl.where(x >= 0.0, 1.0, small) / (1.0 + small)


@triton.jit
def log_sigmoid(x):
    return tl.minimum(x, 0.0) - log1p(tl.exp(-tl.abs(x)))


@triton.jit
def log_mean_decay(t):
    """log((1 - exp(-t)) / t) for t >= 0. Its series, up to 1, is off by less than 1e-9."""
    large = tl.maximum(t, 1.0)
    exact = tl.log((1.0 - tl.exp(-large)) / large)
    s = 0.25 * t * t
    tail = 1 / 2835 - s * (1 / 37800 - s / 467775)
    return tl.where(t > 1.0, exact, s * (1 / 6 - s * (1 / 180 - s * tail)) - 0.5 * t)


@triton.jit
def mean_decay(t):
    """1 / t - 1 / (exp(t) - 1), minus the slope of log_mean_decay, for t >= 0."""
    large = tl.maximum(t, 1.0)
    decay = tl.exp(-large)
    exact = 1.0 / large - decay / (1.0 - decay)
    s = t * t
    tail = 1 / 30240 - s * (1 / 1209600 - s / 47900160)
    return tl.where(t > 1.0, exact, 0.5 - t * (1 / 12 - s * (1 / 720 - s * tail)))


@triton.jit
def bernoulli_value(x, a, b):
    return x * a - tl.maximum(a, 0.0) - log1p(tl.exp(-tl.abs(a)))


@triton.jit
def bernoulli_slopes(x, a, b):
    return x - sigmoid(a), a


@triton.jit
def gaussian_value(x, a, b):
    """a: mean, b: log-variance, [ROWS, BLOCK] or one per row."""
    scaled = (x - a) * tl.exp(-0.5 * b)
    return -0.5 * (scaled * scaled + b + LOG_2PI)


@triton.jit
def gaussian_slopes(x, a, b):
    inverse = tl.exp(-0.5 * b)
    scaled = (x - a) * inverse
    return scaled * inverse, 0.5 * scaled * scaled - 0.5


@triton.jit
def continuous_bernoulli_value(x, a, b):
    """From the end of [0, 1] where the mode is, so that nothing large cancels."""
    from_mode = tl.where(a > 0.0, 1.0 - x, x)
    rate = tl.abs(a)
    return -(from_mode * rate + log_mean_decay(rate))


@triton.jit
def continuous_bernoulli_slopes(x, a, b):
    from_mode = tl.where(a > 0.0, 1.0 - x, x)
    slope = mean_decay(tl.abs(a)) - from_mode
    return tl.where(a > 0.0, slope, -slope), a


@triton.jit
def discretised_logistic_value(x, a, b):
    """a: location, b: log scale."""
    inverse = tl.exp(-b)
    below_upper = log_sigmoid((x + HALF_BIN - a) * inverse)
    above_lower = log_sigmoid((a - x + HALF_BIN) * inverse)
    log_width = LOG_BIN - b
    inside = below_upper + above_lower + log_width + log_mean_decay(tl.exp(log_width))
    outer = tl.where(x < HALF_BIN, below_upper, above_lower)
    return tl.where((x < HALF_BIN) | (x > 1.0 - HALF_BIN), outer, inside)


@triton.jit
def discretised_logistic_slopes(x, a, b):
    inverse = tl.exp(-b)
    to_upper = (x + HALF_BIN - a) * inverse
    to_lower = (a - x + HALF_BIN) * inverse
    upper, lower = sigmoid(-to_upper), sigmoid(-to_lower)
    width = 2.0 * HALF_BIN * inverse
    first, last = x < HALF_BIN, x > 1.0 - HALF_BIN
    upper, lower = tl.where(last, 0.0, upper), tl.where(first, 0.0, lower)
    by_width = tl.where(first | last, 0.0, width * mean_decay(width) - 1.0)
    return (lower - upper) * inverse, by_width - to_upper * upper - to_lower * lower
