"""NumPyro's stochastic variational inference, its update scanned over the steps."""

from __future__ import annotations

import functools
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.infer import SVI, TraceMeanField_ELBO

from benchmarks.peers.work import LEARNING_RATE, Prepared, Size, Work, minibatches


def scanned_svi(work: Work) -> Prepared:
    """SVI.update with TraceMeanField_ELBO in one jitted scan over all steps, data on the device.

    In the time: the rows of the minibatches, made in numpy. Not in it: compilation.
    """
    data = jnp.asarray(work.images("x_train"))
    batches = minibatches(len(data), work.size.batch, work.seed)
    svi = _svi(work.size)
    state = svi.init(jax.random.key(work.seed), data[: work.size.batch])

    def train(num_steps: int) -> None:
        nonlocal state
        rows = np.stack(list(islice(batches, num_steps)))
        state = jax.block_until_ready(_scan(svi, state, data, rows))

    def weights() -> dict[str, Any]:
        values = {name: np.asarray(value)[None] for name, value in svi.get_params(state).items()}
        return {name: (values[f"{name}_w"], values[f"{name}_b"]) for name in work.size.layers}

    return Prepared(train, weights)


@functools.partial(jax.jit, static_argnums=0, donate_argnums=1)
def _scan(svi: SVI, state: Any, data: jax.Array, rows: jax.Array) -> Any:
    """Rows are [steps, B]."""
    return jax.lax.scan(lambda s, r: (svi.update(s, data[r])[0], None), state, rows)[0]


@functools.cache  # one compilation for all seeds
def _svi(size: Size) -> SVI:
    def affine(name: str, x: jax.Array) -> jax.Array:
        inputs, outputs = size.layers[name]
        scale = inputs**-0.5

        def start(shape: tuple[int, ...], key: jax.Array) -> jax.Array:
            return jax.random.uniform(key, shape, minval=-scale, maxval=scale)

        weight = numpyro.param(f"{name}_w", functools.partial(start, (inputs, outputs)))
        bias = numpyro.param(f"{name}_b", functools.partial(start, (outputs,)))
        return x @ weight + bias

    def model(x: jax.Array) -> None:
        with numpyro.plate("images", len(x)):
            z = numpyro.sample("z", dist.Normal(jnp.zeros(size.latent), 1.0).to_event(1))
            logits = affine("logits", jax.nn.relu(affine("decode", z)))
            numpyro.sample("x", dist.Bernoulli(logits=logits).to_event(1), obs=x)

    def guide(x: jax.Array) -> None:
        hidden = jax.nn.relu(affine("encode", x))
        mu, log_var = jnp.split(affine("posterior", hidden), 2, axis=-1)
        with numpyro.plate("images", len(x)):
            numpyro.sample("z", dist.Normal(mu, jnp.exp(0.5 * log_var)).to_event(1))

    return SVI(model, guide, numpyro.optim.Adam(LEARNING_RATE), TraceMeanField_ELBO())
