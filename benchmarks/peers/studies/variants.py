"""The default study, benchmarks/studies/digits.toml, as the peers' programs have it.

A test holds these variants to that file: the same losses of the same weights and noise.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.entries import SIZES

LIKELIHOODS = ("bernoulli", "gaussian_learned")
NUM_STEPS, NUM_SEEDS = 5000, 10
NUM_TRAIN = 1197
"""What vaebench keeps of the 1797 digits for training."""
FIRST_LOG_SIGMA = -1.0

SIZE = replace(
    SIZES[0],
    name="study",
    stack=NUM_SEEDS,
    stacks=(NUM_SEEDS,),
    curve=(),
    gate_steps=0,
    gate_runs=0,
    tolerance_nats=0.0,
    block=1,
)


@dataclass(frozen=True)
class Variant:
    """One of the study's variants: distortion plus `weight` times the rate, or a sampled bound."""

    bound: Literal["closed_form", "sampled", "importance_weighted"] = "closed_form"
    num_samples: int = 1
    weight: float = 1.0
    over: float = 0.0
    """The share of training over which the weight rises from 0."""

    def weights(self, num_steps: int) -> NDArray[np.float32]:
        """The weight of the rate at each step."""
        progress = np.arange(num_steps) / num_steps
        rising = np.minimum(1.0, progress / self.over) if self.over else np.ones(num_steps)
        return np.asarray(self.weight * rising, np.float32)


VARIANTS = (
    Variant(),
    Variant(over=0.5),
    Variant("sampled"),
    Variant(weight=0.5),
    Variant(weight=4.0),
    Variant("importance_weighted", num_samples=5),
    Variant(weight=0.0),
)


def digits() -> NDArray[np.float32]:
    """Training images in [0, 1]: [N, P], a shuffled choice of scikit-learn's."""
    from sklearn.datasets import load_digits

    x = load_digits().images.reshape(-1, SIZE.pixels) / 16
    rows = np.random.default_rng(0).permutation(len(x))[:NUM_TRAIN]
    return np.asarray(x[rows], np.float32)


def minibatches(num_steps: int, seed: int) -> NDArray[np.int32]:
    """Rows [T, B] of the minibatches, shuffled anew each epoch; a short last one is left out."""
    generator, per_epoch = np.random.default_rng(seed), NUM_TRAIN // SIZE.batch
    orders = (generator.permutation(NUM_TRAIN) for _ in itertools.count())
    rows: Iterator[NDArray[np.int32]] = itertools.chain.from_iterable(
        order[: per_epoch * SIZE.batch].astype(np.int32).reshape(per_epoch, -1) for order in orders
    )
    return np.stack(list(itertools.islice(rows, num_steps)))
