"""Other shapes in JAX, as an expert writes them: a jitted scan over the steps, buffers donated.

Weights have vaebench's names and shapes. Random numbers of all steps are drawn before the scan, and
rows of minibatches are made in numpy, as in `benchmarks.peers.with_jax`.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.peers.jax_parts import (
    Tree,
    adam,
    bernoulli_log_prob,
    gaussian_kl,
    gaussian_log_prob,
    log_mean_exp,
    next_rows,
    start_of,
)
from benchmarks.peers.shapes.sizes import GAMMA
from benchmarks.peers.work import Check, Prepared, Work

Network = Callable[[Tree, str, jax.Array], jax.Array]
"""(weights, "encoder" or "decoder", values [..., in]) -> [..., out]."""
LEAK = 0.2


def scan(work: Work) -> Prepared:
    """One run: a jitted scan over the steps. Making its minibatches is in the time."""
    assert work.num_runs == 1, "one run alone"
    return _prepared(work, _scan_alone)


def vmapped_scan(work: Work) -> Prepared:
    """S runs: that scan under vmap. Making their minibatches is in the time."""
    return _prepared(work, _scan_stacked)


def _prepared(work: Work, scan: Any) -> Prepared:
    data, size = jnp.asarray(work.images("x_train")), work.size
    rows, state = next_rows(work, len(data)), start_of(work, work.start())

    def train(num_steps: int) -> None:
        nonlocal state
        state = jax.block_until_ready(
            scan(state, data, rows(num_steps), size.name, size.num_samples)
        )

    def check() -> Check:
        first = jax.tree.map(lambda a: a[0], state[0])
        value, gradient = jax.value_and_grad(LOSSES[size.name])(first, *work.check_inputs())
        main = [g for name, g in gradient.items() if not name.startswith("auxiliary.")]
        return float(value), float(jnp.sqrt(sum(jnp.sum(g**2) for g in main)))

    return Prepared(train, dict, check)


def _scan(state: Tree, data: jax.Array, rows: jax.Array, shape: str, num_samples: int) -> Tree:
    """The steps of one run, whose minibatches are rows [steps, B] of the data."""
    *state, key = state
    key, of_eps, of_orders = jax.random.split(key, 3)
    latent, (num_steps, batch) = _latent(state[0]), rows.shape
    eps = jax.random.normal(of_eps, (num_steps, num_samples, batch, latent))
    orders = jnp.zeros((num_steps, 0))
    if shape == "factor_vae":
        orders = jax.random.uniform(of_orders, (num_steps, latent, batch // 2))
    loss = functools.partial(_total, shape)

    def step(state: Tree, inputs: Any) -> tuple[Tree, None]:
        rows, eps, orders = inputs
        gradient = jax.grad(loss)(state[0], data[rows], eps, orders)
        return adam(state, gradient), None

    end, _ = jax.lax.scan(step, tuple(state), (rows, eps, orders))
    return (*end, key)


@functools.partial(jax.jit, donate_argnums=0, static_argnums=(3, 4))
def _scan_stacked(
    state: Tree, data: jax.Array, rows: jax.Array, shape: str, num_samples: int
) -> Tree:
    of_run = functools.partial(_scan, shape=shape, num_samples=num_samples)
    return jax.vmap(of_run, in_axes=(0, None, 0))(state, data, rows)


@functools.partial(jax.jit, donate_argnums=0, static_argnums=(3, 4))
def _scan_alone(
    state: Tree, data: jax.Array, rows: jax.Array, shape: str, num_samples: int
) -> Tree:
    alone = jax.tree.map(lambda a: a[0], state)
    moved = _scan(alone, data, rows[0], shape, num_samples)
    return jax.tree.map(lambda a: a[None], moved)


def _latent(weights: Tree) -> int:
    """D, which the decoder's first affine map takes."""
    names = ("decoder.0.weight", "decoder.affine.weight")
    return next(int(weights[name].shape[0]) for name in names if name in weights)


def _total(shape: str, weights: Tree, x: jax.Array, eps: jax.Array, orders: jax.Array) -> jax.Array:
    """What is differentiated: the loss, and the critic's where there is one."""
    loss = LOSSES[shape](weights, x, eps)
    return loss + _critic_loss(weights, x, eps, orders) if shape == "factor_vae" else loss


def _affine(weights: Tree, name: str, values: jax.Array) -> jax.Array:
    return values @ weights[f"{name}.weight"] + weights[f"{name}.bias"][0]


def _mlp(weights: Tree, part: str, values: jax.Array) -> jax.Array:
    return _affine(weights, f"{part}.2", jax.nn.relu(_affine(weights, f"{part}.0", values)))


def _mlp_in_bfloat16(weights: Tree, part: str, values: jax.Array) -> jax.Array:
    """Products, biases and activations in bfloat16, the outputs in float32."""
    cast = {name: values.astype(jnp.bfloat16) for name, values in weights.items()}
    return _mlp(cast, part, values.astype(jnp.bfloat16)).astype(jnp.float32)


def _conv(weights: Tree, part: str, values: jax.Array) -> jax.Array:
    """Convolutions of 4x4 and stride 2 on [N, H, W, C], as products of patches.

    On one core XLA's own take more than five times as long, in that layout and the other.
    """
    return _encode_images(weights, values) if part == "encoder" else _decode_images(weights, values)


def _encode_images(weights: Tree, x: jax.Array) -> jax.Array:
    side = round(x.shape[-1] ** 0.5)
    features = x.reshape(-1, side, side, 1)
    for i in range(2):
        name, side = f"encoder.convolutions.{i}", side // 2
        padded = jnp.pad(features, ((0, 0), (1, 1), (1, 1), (0, 0)))
        shifted = [
            padded[:, a : a + 2 * side : 2, b : b + 2 * side : 2] for a, b in _kernel_places()
        ]
        patches = jnp.concatenate(shifted, -1)
        weight = weights[f"{name}.weight"]  # [out, in, 4, 4]
        kernel = weight.transpose(2, 3, 1, 0).reshape(-1, len(weight))
        flat = patches.reshape(-1, patches.shape[-1]) @ kernel + weights[f"{name}.bias"]
        features = jax.nn.relu(flat.reshape(*patches.shape[:3], -1))
    flat = features.transpose(0, 3, 1, 2).reshape(len(x), -1)  # as vaebench: channels first
    return _affine(weights, "encoder.affine", flat)


def _decode_images(weights: Tree, z: jax.Array) -> jax.Array:
    flat = _affine(weights, "decoder.affine", z.reshape(-1, z.shape[-1]))
    channels = weights["decoder.convolutions.0.weight"].shape[0]
    side = round((flat.shape[-1] / channels) ** 0.5)
    features = flat.reshape(-1, channels, side, side).transpose(0, 2, 3, 1)
    for i in range(2):
        name = f"decoder.convolutions.{i}"
        weight = weights[f"{name}.weight"]  # [in, out, 4, 4]
        num_in, num_out = weight.shape[:2]
        kernel = weight.transpose(0, 2, 3, 1).reshape(num_in, -1)
        patches = jax.nn.relu(features).reshape(-1, num_in) @ kernel
        patches = patches.reshape(-1, side, side, 4, 4, num_out)
        out = jnp.zeros((len(patches), 2 * side + 2, 2 * side + 2, num_out))
        for a, b in _kernel_places():
            place = out.at[:, a : a + 2 * side : 2, b : b + 2 * side : 2]
            out = place.add(patches[:, :, :, a, b])
        features, side = out[:, 1:-1, 1:-1] + weights[f"{name}.bias"], 2 * side
    return features.reshape(*z.shape[:-1], -1)


def _kernel_places() -> Iterator[tuple[int, int]]:
    return itertools.product(range(4), range(4))


def _encoded(weights: Tree, x: jax.Array, network: Network) -> tuple[jax.Array, jax.Array]:
    mu, log_var = jnp.split(network(weights, "encoder", x), 2, axis=-1)
    return mu, log_var


def _elbo(weights: Tree, x: jax.Array, eps: jax.Array, network: Network = _mlp) -> jax.Array:
    """-ELBO in nats, the mean over the batch: x [B, P], eps [K, B, D]."""
    mu, log_var = _encoded(weights, x, network)
    z = mu + jnp.exp(0.5 * log_var) * eps
    log_px_z = bernoulli_log_prob(x, network(weights, "decoder", z))
    return jnp.mean(gaussian_kl(mu, log_var) - log_px_z)


def _log_w(
    weights: Tree, x: jax.Array, z: jax.Array, mu: jax.Array, log_var: jax.Array
) -> jax.Array:
    """Log importance weights: [K, B]."""
    log_px_z = bernoulli_log_prob(x, _mlp(weights, "decoder", z))
    log_pz = gaussian_log_prob(z, 0.0, jnp.zeros(()))
    return log_px_z + log_pz - gaussian_log_prob(z, mu, log_var)


def _iwae(weights: Tree, x: jax.Array, eps: jax.Array) -> jax.Array:
    mu, log_var = _encoded(weights, x, _mlp)
    z = mu + jnp.exp(0.5 * log_var) * eps
    return -jnp.mean(log_mean_exp(_log_w(weights, x, z, mu, log_var)))


def _dreg(weights: Tree, x: jax.Array, eps: jax.Array) -> jax.Array:
    """The IWAE bound with its doubly reparameterised gradient (Tucker et al. 2019).

    One pass back gives the decoder's gradient, by the importance weights, and that of z, which
    goes on to the encoder by their squares.
    """
    stop = jax.lax.stop_gradient
    mu, log_var = _encoded(weights, x, _mlp)
    z = mu + jnp.exp(0.5 * log_var) * eps
    log_w, back = jax.vjp(
        lambda weights, z: _log_w(weights, x, z, stop(mu), stop(log_var)), stop(weights), stop(z)
    )
    share = jax.nn.softmax(log_w, 0)
    of_weights, of_z = back(-share / len(x))
    of_z = share[..., None] * of_z
    parts = jax.tree.map(lambda g, w: jnp.sum(stop(g) * w), of_weights, weights)
    estimate = sum(jax.tree.leaves(parts)) + jnp.sum(stop(of_z) * z)
    return stop(-jnp.mean(log_mean_exp(log_w)) - estimate) + estimate


def _mixture(weights: Tree, x: jax.Array, eps: jax.Array) -> jax.Array:
    """-ELBO with the KL sampled, under a prior that is a mixture of Gaussians."""
    mu, log_var = _encoded(weights, x, _mlp)
    z = mu + jnp.exp(0.5 * log_var) * eps
    parts = gaussian_log_prob(
        z[..., None, :], weights["learned_prior.mu"], weights["learned_prior.log_var"]
    )
    log_pz = jax.nn.logsumexp(parts + jax.nn.log_softmax(weights["learned_prior.scores"]), -1)
    log_px_z = bernoulli_log_prob(x, _mlp(weights, "decoder", z))
    return -jnp.mean(log_px_z + log_pz - gaussian_log_prob(z, mu, log_var))


def _critic(weights: Tree, z: jax.Array) -> jax.Array:
    """Log-odds that codes [..., D] are of q(z): [...]."""
    for i in (0, 2, 4):
        z = jax.nn.leaky_relu(_affine(weights, f"auxiliary.{i}", z), LEAK)
    return _affine(weights, "auxiliary.6", z)[..., 0]


def _factor_vae(weights: Tree, x: jax.Array, eps: jax.Array) -> jax.Array:
    """-ELBO plus gamma times the total correlation, by the critic (Kim & Mnih 2018)."""
    mu, log_var = _encoded(weights, x, _mlp)
    z = mu + jnp.exp(0.5 * log_var) * eps
    log_px_z = bernoulli_log_prob(x, _mlp(weights, "decoder", z))
    correlation = _critic(jax.lax.stop_gradient(weights), z)
    return jnp.mean(gaussian_kl(mu, log_var) - log_px_z + GAMMA * correlation)


def _critic_loss(weights: Tree, x: jax.Array, eps: jax.Array, orders: jax.Array) -> jax.Array:
    """Cross-entropy of telling codes from shuffled ones; XLA computes the codes once."""
    mu, log_var = _encoded(weights, x, _mlp)
    z = jax.lax.stop_gradient(mu + jnp.exp(0.5 * log_var) * eps[0])
    half = len(z) // 2
    order = jnp.argsort(orders, -1).T
    shuffled = jnp.take_along_axis(z[half : 2 * half], order, 0)
    real, fake = _critic(weights, z[:half]), _critic(weights, shuffled)
    return jnp.mean(0.5 * (jax.nn.softplus(-real) + jax.nn.softplus(fake)))


LOSSES: dict[str, Callable[[Tree, jax.Array, jax.Array], jax.Array]] = {
    "conv": functools.partial(_elbo, network=_conv),
    "iwae": _iwae,
    "dreg": _dreg,
    "factor_vae": _factor_vae,
    "learned_prior": _mixture,
    "bfloat16": functools.partial(_elbo, network=_mlp_in_bfloat16),
}
"""By the name of the shape: (weights, x [B, P], eps [K, B, D]) -> the loss in nats."""
