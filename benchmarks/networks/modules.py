"""Networks of one run as a user writes them; plain PyTorch trains the same modules."""

from __future__ import annotations

from torch import nn

import vaebench as vb


@vb.model()
def own_mlp(sizes: vb.Sizes, *, width: int = 128) -> tuple[nn.Module, nn.Module]:
    """One hidden layer, the network of `mlp`."""
    encoder = nn.Sequential(
        nn.Flatten(), nn.Linear(sizes.pixels, width), nn.ReLU(), nn.Linear(width, sizes.posterior)
    )
    decoder = nn.Sequential(nn.Linear(sizes.code, width), nn.ReLU(), nn.Linear(width, sizes.out))
    return encoder, decoder


@vb.model()
def own_normed(sizes: vb.Sizes, *, width: int = 128) -> tuple[nn.Module, nn.Module]:
    """Batch normalisation in both networks."""
    encoder = nn.Sequential(
        nn.Flatten(),
        nn.Linear(sizes.pixels, width, bias=False),
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


@vb.model()
def own_dropout(sizes: vb.Sizes, *, width: int = 128) -> tuple[nn.Module, nn.Module]:
    """Dropout in both networks."""
    encoder = nn.Sequential(
        nn.Flatten(),
        nn.Linear(sizes.pixels, width),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Linear(width, sizes.posterior),
    )
    decoder = nn.Sequential(
        nn.Linear(sizes.code, width), nn.ReLU(), nn.Dropout(0.1), nn.Linear(width, sizes.out)
    )
    return encoder, decoder


@vb.model()
def own_conv(sizes: vb.Sizes, *, channels: int = 16) -> tuple[nn.Module, nn.Module]:
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
