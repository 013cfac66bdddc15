"""Networks of one run as a user writes them: what plain PyTorch is raced with, and tests train.

Importing this registers nothing; `vb.model()` registers a function under its name.
"""

from __future__ import annotations

from torch import nn

import vaebench as vb

Networks = tuple[nn.Module, nn.Module]


def plain(sizes: vb.Sizes, *, width: int = 8) -> Networks:
    """One hidden layer, the network of `mlp`."""
    encoder = nn.Sequential(
        nn.Flatten(), nn.Linear(sizes.pixels, width), nn.ReLU(), nn.Linear(width, sizes.posterior)
    )
    decoder = nn.Sequential(nn.Linear(sizes.code, width), nn.ReLU(), nn.Linear(width, sizes.out))
    return encoder, decoder


def normed(sizes: vb.Sizes, *, width: int = 8) -> Networks:
    """Batch normalisation in both networks. A bias before it would have no gradient but rounding,
    which Adam makes large."""
    encoder = nn.Sequential(
        nn.Flatten(),
        nn.LazyLinear(width, bias=False),
        nn.BatchNorm1d(width),
        nn.ReLU(),
        nn.Linear(width, sizes.posterior),
    )
    decoder = nn.Sequential(
        nn.Linear(sizes.code, width, bias=False),
        nn.BatchNorm1d(width),
        nn.ReLU(),
        nn.Linear(width, sizes.out),
    )
    return encoder, decoder


def dropping(sizes: vb.Sizes, *, width: int = 16, dropout: float = 0.3) -> Networks:
    """Dropout in both networks."""
    encoder = nn.Sequential(
        nn.Flatten(),
        nn.Linear(sizes.pixels, width),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(width, sizes.posterior),
    )
    decoder = nn.Sequential(
        nn.Linear(sizes.code, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, sizes.out)
    )
    return encoder, decoder


def strided(sizes: vb.Sizes, *, channels: int = 16) -> Networks:
    """Two strided convolutions and back, the network of `conv`."""
    inputs, height, width = sizes.shape
    small = 2 * channels, height // 4, width // 4
    encoder = nn.Sequential(
        nn.Conv2d(inputs, channels, 4, 2, 1),
        nn.ReLU(),
        nn.Conv2d(channels, 2 * channels, 4, 2, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.LazyLinear(sizes.posterior),
    )
    decoder = nn.Sequential(
        nn.Linear(sizes.code, small[0] * small[1] * small[2]),
        nn.Unflatten(1, small),
        nn.ReLU(),
        nn.ConvTranspose2d(2 * channels, channels, 4, 2, 1),
        nn.ReLU(),
        nn.ConvTranspose2d(channels, sizes.out_shape[0], 4, 2, 1),
    )
    return encoder, decoder
