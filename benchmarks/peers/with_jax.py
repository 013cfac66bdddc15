"""JAX as an expert writes it: all steps in one jitted scan, buffers donated, data on the device.

Chosen by measurement: normals of all steps drawn before the scan, the rows of the minibatches made
in numpy, XLA's default flags, no unrolling, and what `jax_parts.py` says.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.peers.jax_parts import (
    Tree,
    adam,
    affine,
    bernoulli_log_prob,
    gaussian_kl,
    next_rows,
    start_of,
)
from benchmarks.peers.work import Prepared, Work, initial_weights


def scan(work: Work) -> Prepared:
    """One run: a jitted scan over the steps. Making its minibatches is in the time."""
    assert work.num_runs == 1, "one run alone"
    return _prepared(work, _scan_alone)


def vmapped_scan(work: Work) -> Prepared:
    """S runs: that scan under vmap. Making their minibatches is in the time."""
    return _prepared(work, _scan_stacked)


def _prepared(work: Work, scan: Any) -> Prepared:
    data = jnp.asarray(work.images("x_train"))
    rows = next_rows(work, len(data))
    state = start_of(work, dict(initial_weights(work)))

    def train(num_steps: int) -> None:
        nonlocal state
        state = jax.block_until_ready(scan(state, data, rows(num_steps)))

    return Prepared(train, lambda: jax.tree.map(np.asarray, state[0]))


def _scan(state: Tree, data: jax.Array, rows: jax.Array) -> Tree:
    """The steps of one run, whose minibatches are rows [steps, B] of the data."""
    *state, key = state
    key, here = jax.random.split(key)
    latent = state[0]["decode"][0].shape[0]
    eps = jax.random.normal(here, (*rows.shape, latent))
    end, _ = jax.lax.scan(
        lambda s, i: (_step(s, data[i[0]], i[1]), None), tuple(state), (rows, eps)
    )
    return (*end, key)


@functools.partial(jax.jit, donate_argnums=0)
def _scan_stacked(state: Tree, data: jax.Array, rows: jax.Array) -> Tree:
    return jax.vmap(_scan, in_axes=(0, None, 0))(state, data, rows)


@functools.partial(jax.jit, donate_argnums=0)
def _scan_alone(state: Tree, data: jax.Array, rows: jax.Array) -> Tree:
    alone = jax.tree.map(lambda a: a[0], state)
    return jax.tree.map(lambda a: a[None], _scan(alone, data, rows[0]))


def _step(state: Tree, x: jax.Array, eps: jax.Array) -> Tree:
    """Adam on the loss of one minibatch."""
    return adam(state, jax.grad(_loss)(state[0], x, eps))


def _loss(weights: Tree, x: jax.Array, eps: jax.Array) -> jax.Array:
    """-ELBO in nats, the mean over the batch: x [B, P], eps [B, D]."""
    hidden = jax.nn.relu(affine(weights, "encode", x))
    mu, log_var = jnp.split(affine(weights, "posterior", hidden), 2, axis=-1)
    z = mu + jnp.exp(0.5 * log_var) * eps
    logits = affine(weights, "logits", jax.nn.relu(affine(weights, "decode", z)))
    return jnp.mean(gaussian_kl(mu, log_var) - bernoulli_log_prob(x, logits))
