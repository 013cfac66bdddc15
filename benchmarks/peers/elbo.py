"""The one evaluation of all: the ELBO of held-out images, from exported weights, in numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.work import Weights

NUM_DRAWS = 10_000
"""Posterior samples over all images, about: digits get many each, MNIST one."""


def held_out_elbo(weights: Weights, x: NDArray[np.float32]) -> list[float]:
    """Mean over images x [N, P] in nats, for each of S runs; KL in closed form, the same noise."""
    num_runs = len(weights["encode"][0])
    return [_elbo({n: (w[i], b[i]) for n, (w, b) in weights.items()}, x) for i in range(num_runs)]


def _elbo(weights: Weights, x: NDArray[np.float32]) -> float:
    """The ELBO of one run, whose weights are [in, out] and biases [out]."""

    def affine(name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
        weight, bias = weights[name]
        return np.asarray(values @ weight + bias)

    hidden = np.maximum(affine("encode", x), 0)
    mu, log_var = np.split(affine("posterior", hidden), 2, axis=-1)
    rate = 0.5 * (mu**2 + np.exp(log_var) - log_var - 1).sum(-1).mean()
    generator, num_samples = np.random.default_rng(0), -(-NUM_DRAWS // len(x))
    log_px_z = 0.0
    for _ in range(num_samples):
        eps = generator.standard_normal(mu.shape, np.float32)
        z = mu + np.exp(0.5 * log_var) * eps
        logits = affine("logits", np.maximum(affine("decode", z), 0))
        log_px_z += (x * logits - np.logaddexp(0, logits)).sum(-1).mean() / num_samples
    return float(log_px_z - rate)
