"""The default study's training in JAX, as a user would write it; run as a program.

One jitted scan over the steps under vmap over the seeds, the weight of the rate an argument: six
graphs serve the fourteen variants. It trains, and grades nothing. Chosen by measurement: images of
all epochs binarised once, for all runs; rows of minibatches made in numpy; normals drawn for many
steps at a time.
"""

from __future__ import annotations

import argparse
import functools
import json
from pathlib import Path
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
    gaussian_log_prob,
    log_mean_exp,
)
from benchmarks.peers.studies.variants import (
    FIRST_LOG_SIGMA,
    LIKELIHOODS,
    NUM_SEEDS,
    NUM_STEPS,
    NUM_TRAIN,
    SIZE,
    VARIANTS,
    Variant,
    digits,
    minibatches,
)
from benchmarks.peers.work import Work, initial_weights

MOST_AT_ONCE = 125
"""Steps whose normals are drawn at once."""


def loss(
    weights: Tree,
    x: jax.Array,
    eps: jax.Array,
    weight: jax.Array,
    likelihood: str,
    variant: Variant,
) -> jax.Array:
    """The loss in nats, the mean over the batch: x [B, P], eps [K, B, D]."""
    hidden = jax.nn.relu(affine(weights, "encode", x))
    mu, log_var = jnp.split(affine(weights, "posterior", hidden), 2, axis=-1)
    z = mu + jnp.exp(0.5 * log_var) * eps
    out = affine(weights, "logits", jax.nn.relu(affine(weights, "decode", z)))
    if likelihood == "bernoulli":
        log_px_z = bernoulli_log_prob(x, out)
    else:
        log_px_z = gaussian_log_prob(x, out, 2.0 * weights["log_sigma"])
    if variant.bound == "closed_form":
        return jnp.mean(weight * gaussian_kl(mu, log_var) - log_px_z.mean(0))
    log_ratio = gaussian_log_prob(z, 0.0, jnp.zeros(())) - gaussian_log_prob(z, mu, log_var)
    log_w = log_px_z + weight * log_ratio
    sampled = variant.bound == "sampled"
    return -jnp.mean(log_w.mean(0) if sampled else log_mean_exp(log_w))


@functools.partial(jax.jit, static_argnames=("likelihood", "variant"), donate_argnums=0)
def train(
    state: Tree,
    keys: jax.Array,
    images: jax.Array,
    rows: jax.Array,
    epochs: jax.Array,
    weights: jax.Array,
    likelihood: str,
    variant: Variant,
) -> tuple[Tree, jax.Array]:
    """Train S runs: images [E, N, P], rows [S, C, T, B], epochs and weights [C, T].

    Returns the state and the losses [S, C, T].
    """

    def of_run(state: Tree, key: jax.Array, rows: jax.Array) -> tuple[Tree, jax.Array]:
        def steps(state: Tree, inputs: Any) -> tuple[Tree, jax.Array]:
            part, rows, epochs, weights = inputs
            shape = (len(rows), variant.num_samples, SIZE.batch, SIZE.latent)
            eps = jax.random.normal(jax.random.fold_in(key, part), shape)
            return jax.lax.scan(step, state, (rows, epochs, weights, eps))

        return jax.lax.scan(steps, state, (jnp.arange(len(rows)), rows, epochs, weights))

    def step(state: Tree, inputs: Any) -> tuple[Tree, jax.Array]:
        rows, epoch, weight, eps = inputs
        x = images[epoch, rows].astype(jnp.float32)
        value, gradient = jax.value_and_grad(loss)(state[0], x, eps, weight, likelihood, variant)
        return adam(state, gradient), value

    return jax.vmap(of_run)(state, keys, rows)


def study(likelihoods: list[str], num_steps: int, num_seeds: int) -> dict[str, list[float]]:
    """Train the variants; the last loss of each, the mean over seeds, by likelihood."""
    at_once = max(n for n in range(1, MOST_AT_ONCE + 1) if num_steps % n == 0)
    seeds = range(num_seeds)
    keys = jax.vmap(jax.random.key)(jnp.asarray(seeds))
    rows = np.stack([minibatches(num_steps, seed) for seed in seeds])
    rows = rows.reshape(num_seeds, -1, at_once, SIZE.batch)
    epochs = np.arange(num_steps) // (NUM_TRAIN // SIZE.batch)
    losses: dict[str, list[float]] = {}
    for likelihood in likelihoods:
        images = jnp.asarray(digits())[None]
        here = epochs * 0
        if likelihood == "bernoulli":
            shape = (int(epochs[-1]) + 1, *images.shape[1:])
            images, here = jax.random.bernoulli(jax.random.key(0), images, shape), epochs
        losses[likelihood] = []
        for variant in VARIANTS:
            graph = Variant(variant.bound, variant.num_samples)  # what its graph is compiled for
            weights = variant.weights(num_steps).reshape(-1, at_once)
            _, values = train(
                _start(likelihood, num_seeds), keys, images, rows, here.reshape(-1, at_once),
                weights, likelihood=likelihood, variant=graph,
            )  # fmt: skip
            losses[likelihood].append(float(values[:, -1, -1].mean()))
    return losses


def _start(likelihood: str, num_seeds: int) -> Tree:
    """Weights, moments and steps taken of S runs."""
    weights: Tree = dict(initial_weights(Work(SIZE, Path(), num_seeds, 0)))
    if likelihood != "bernoulli":
        weights["log_sigma"] = np.full((num_seeds, 1), FIRST_LOG_SIGMA, np.float32)
    zeros = [jax.tree.map(jnp.zeros_like, weights) for _ in range(2)]
    return (jax.tree.map(jnp.asarray, weights), *zeros, jnp.zeros(num_seeds))


def main() -> None:
    """Train, and print the last losses as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=NUM_STEPS)
    parser.add_argument("--seeds", type=int, default=NUM_SEEDS)
    parser.add_argument("--likelihoods", nargs="+", choices=LIKELIHOODS, default=LIKELIHOODS)
    parser.add_argument("--cache", type=Path, required=True, help="JAX's own, of compiled graphs")
    options = parser.parse_args()
    jax.config.update("jax_compilation_cache_dir", str(options.cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    print(json.dumps(study(options.likelihoods, options.steps, options.seeds)))


if __name__ == "__main__":
    main()
