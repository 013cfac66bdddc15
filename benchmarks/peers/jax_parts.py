"""What the programs written in JAX share: affine maps, densities, Adam, minibatches.

Chosen by measurement: the softplus written out (jax.nn.softplus costs a tenth of a small step),
Adam by hand (optax costs 2% more).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.work import LEARNING_RATE, Work, minibatches

Tree = Any
"""Arrays by layer, as `Weights` has them."""
B1, B2, EPSILON = 0.9, 0.999, 1e-8
LOG_2PI = math.log(2.0 * math.pi)


def affine(weights: Tree, name: str, values: jax.Array) -> jax.Array:
    """A layer's outputs, of its weight [in, out] and bias [out]."""
    weight, bias = weights[name]
    return values @ weight + bias


def bernoulli_log_prob(x: jax.Array, logits: jax.Array) -> jax.Array:
    """[..., P] -> [...]."""
    softplus = jnp.maximum(logits, 0) + jnp.log1p(jnp.exp(-jnp.abs(logits)))
    return jnp.sum(x * logits - softplus, -1)


def gaussian_log_prob(x: jax.Array, mu: jax.Array, log_var: jax.Array) -> jax.Array:
    """[..., D] -> [...]."""
    return -0.5 * jnp.sum((x - mu) ** 2 * jnp.exp(-log_var) + log_var + LOG_2PI, -1)


def gaussian_kl(mu: jax.Array, log_var: jax.Array) -> jax.Array:
    """KL[N(mu, exp(log_var)) || N(0, 1)]: [..., D] -> [...]."""
    return 0.5 * jnp.sum(mu**2 + jnp.exp(log_var) - log_var - 1, -1)


def log_mean_exp(log_w: jax.Array) -> jax.Array:
    """[K, ...] -> [...]."""
    return jax.nn.logsumexp(log_w, 0) - math.log(log_w.shape[0])


def adam(state: Tree, gradient: Tree) -> Tree:
    """One step (Kingma & Ba 2015). The state: weights, two moments, steps taken."""
    weights, first, second, step = state
    step = step + 1
    first = jax.tree.map(lambda m, g: B1 * m + (1 - B1) * g, first, gradient)
    second = jax.tree.map(lambda v, g: B2 * v + (1 - B2) * g * g, second, gradient)
    rate, unbias = LEARNING_RATE / (1 - B1**step), 1 / (1 - B2**step)
    moved = jax.tree.map(
        lambda w, m, v: w - rate * m / (jnp.sqrt(v * unbias) + EPSILON), weights, first, second
    )
    return moved, first, second, step


def start_of(work: Work, weights: Tree) -> Tree:
    """The state of S runs before their first step: that of `adam`, and a key for each."""
    weights = jax.tree.map(jnp.asarray, weights)
    moments = [jax.tree.map(jnp.zeros_like, weights) for _ in range(2)]
    return (weights, *moments, jnp.zeros(work.num_runs), jax.vmap(jax.random.key)(_seeds(work)))


def next_rows(work: Work, num_images: int) -> Callable[[int], NDArray[Any]]:
    """(number of steps T) -> the rows [S, T, B] of the next minibatches, made in numpy."""
    batches = [minibatches(num_images, work.size.batch, int(seed)) for seed in _seeds(work)]
    return lambda num_steps: np.stack([list(islice(of_run, num_steps)) for of_run in batches])


def _seeds(work: Work) -> jax.Array:
    return jnp.arange(work.seed, work.seed + work.num_runs)
