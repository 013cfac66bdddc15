"""Networks of one run, as a user's file would register them, for tests of what the suite does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from torch import nn

from benchmarks.networks.modules import dropping, normed, plain
from vaebench.models.networks import MODELS, Model, Networks, Sizes
from vaebench.models.networks.entry import model as register


def convolving(sizes: Sizes, *, channels: int = 4) -> Networks:
    """Convolutions with channels that drop out, for images whose sides are multiples of 2."""
    inputs, height, width = sizes.shape
    features = channels * height * width // 4
    encoder = nn.Sequential(
        nn.Conv2d(inputs, channels, 3, 2, 1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Dropout2d(0.2),
        nn.Flatten(),
        nn.Linear(features, sizes.posterior),
    )
    decoder = nn.Sequential(
        nn.Linear(sizes.code, features),
        nn.Unflatten(1, (channels, height // 2, width // 2)),
        nn.ReLU(),
        nn.ConvTranspose2d(channels, sizes.out_shape[0], 4, 2, 1),
    )
    return encoder, decoder


def deciding(sizes: Sizes) -> Networks:
    """A branch that depends on the numbers, which nothing that traces can follow."""
    return nn.Sequential(nn.Flatten(), Deciding(sizes.pixels, sizes.posterior)), nn.Linear(
        sizes.code, sizes.out
    )


class Deciding(nn.Module):
    def __init__(self, num_inputs: int, num_outputs: int) -> None:
        super().__init__()
        self.affine = nn.Linear(num_inputs, num_outputs)

    def forward(self, x: Any) -> Any:
        out = self.affine(x)
        return out if out.sum().item() > 0.0 else 0.5 * out


OF_USERS = {f.__name__: f for f in (plain, normed, dropping, convolving, deciding)}
"""What every network of a user's may be, by name."""


@pytest.fixture
def registered() -> Any:
    """Registers functions as models for the time of a test: function -> entry."""
    names: list[str] = []

    def put(function: Callable[..., Networks]) -> Model:
        register(function)
        names.append(function.__name__)
        return MODELS[function.__name__]

    yield put
    for name in names:
        del MODELS._entries[name]
