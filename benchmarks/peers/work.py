"""The work that all do alike: train S VAEs of one size on one set of binary images.

-ELBO with the KL in closed form, Bernoulli likelihood, mean over the batch, Adam at 1e-3, weights
and biases from torch.nn.Linear's uniform +-1/sqrt(inputs), minibatches without replacement.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEARNING_RATE = 1e-3
START = "start/"
"""Before the names of weights in a file of images."""
Check = tuple[float, float]

Weights = Mapping[str, tuple[NDArray[Any], NDArray[Any]]]
"""Layer -> weight [S, in, out] and bias [S, out], for the layers of `Size.layers`."""


@dataclass(frozen=True)
class Size:
    """P-H-D: an encoder that gives mu and log_var, a decoder, one hidden ReLU layer in each."""

    name: str
    dataset: str
    pixels: int  # P
    hidden: int  # H
    latent: int  # D
    batch: int  # B
    stack: int  # the stack that the targets speak of
    stacks: tuple[int, ...]  # stacks in the table
    curve: tuple[int, ...]  # stacks in the figures only
    gate_steps: int
    gate_runs: int  # seeds at least
    tolerance_nats: float
    block: int
    """Steps are asked for in multiples of this many, for those that take some at once."""
    words: str = ""
    """What is trained in place of the plain VAE."""
    configuration: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """The same, as vaebench's configuration has it."""
    plugin: Path | None = None
    """The user's file that registers its model."""
    num_samples: int = 1  # K
    check_tolerance: float = 0.0
    """Relative: instead of a gate by training, loss and gradient norm at shared weights and noise
    must agree to this; 0: they are not compared."""

    @property
    def image_shape(self) -> tuple[int, int]:
        """Height and width: images are square."""
        side = math.isqrt(self.pixels)
        return side, side

    @property
    def label(self) -> str:
        """The size as the tables name it."""
        sizes = f"{self.pixels}-{self.hidden}-{self.latent}, B={self.batch}"
        return f"{self.words}: {sizes}" if self.words else sizes

    @property
    def layers(self) -> dict[str, tuple[int, int]]:
        """(inputs, outputs) of the four affine maps, in the order of the forward pass."""
        return {
            "encode": (self.pixels, self.hidden),
            "posterior": (self.hidden, 2 * self.latent),  # mu, then log_var
            "decode": (self.latent, self.hidden),
            "logits": (self.hidden, self.pixels),
        }


@dataclass(frozen=True)
class Work:
    """S runs of one size, with seeds from `seed` on."""

    size: Size
    data: Path
    num_runs: int  # S
    seed: int

    def images(self, part: str) -> NDArray[np.float32]:
        """x_train or x_test, of zeros and ones: [N, P]. x_train is a whole number of batches."""
        with np.load(self.data) as stored:
            x = np.asarray(stored[part], np.float32)
        return x.reshape(len(x), -1)

    def start(self) -> dict[str, NDArray[np.float32]]:
        """Where all peers start from: weights [S, ...] by vaebench's names, as they were stored."""
        runs = np.arange(self.seed, self.seed + self.num_runs) % self.size.stack
        with np.load(self.data) as stored:
            names = [name for name in stored if name.startswith(START)]
            return {name.removeprefix(START): stored[name][runs] for name in names}

    def check_inputs(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The images [B, P] and normals [K, B, D] of the check."""
        shape = self.size.num_samples, self.size.batch, self.size.latent
        eps = np.random.default_rng(0).standard_normal(shape, np.float32)
        return self.images("x_train")[: self.size.batch], eps


@dataclass(frozen=True)
class Prepared:
    """Runs that are ready to train."""

    train: Callable[[int], None]
    """Takes this many steps of every run; they are done when it returns."""
    weights: Callable[[], Weights]
    check: Callable[[], Check] | None = None
    """Loss and gradient norm of the first run at `check_inputs`, before it trains."""


def minibatches(num_images: int, batch: int, seed: int) -> Iterator[NDArray[np.int32]]:
    """Rows [B] of one minibatch after the other, shuffled anew each epoch, without end."""
    generator = np.random.default_rng(seed)
    while True:
        yield from generator.permutation(num_images).astype(np.int32).reshape(-1, batch)


def initial_weights(work: Work) -> Weights:
    """torch.nn.Linear's uniform start, each run from its own seed."""
    generators = [np.random.default_rng((work.seed + run, 1)) for run in range(work.num_runs)]

    def uniform(num_inputs: int, *shape: int) -> NDArray[np.float32]:
        scale = num_inputs**-0.5
        drawn = [generator.uniform(-scale, scale, shape) for generator in generators]
        return np.stack(drawn).astype(np.float32)

    return {
        name: (uniform(inputs, inputs, outputs), uniform(inputs, outputs))
        for name, (inputs, outputs) in work.size.layers.items()
    }
