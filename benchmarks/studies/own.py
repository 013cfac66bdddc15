"""A user's own model for the study own.toml: residual blocks, as ordinary PyTorch modules."""

from typing import Annotated

import torch
from torch import Tensor, nn

import vaebench as vb


class Residual(nn.Module):
    """x + f(x), f a small network behind a layer norm: [B, width] -> [B, width]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(x, self.inner(x))


@vb.model()
def residual(
    sizes: vb.Sizes,
    *,
    width: Annotated[int, vb.Hyper(low=1, search=(32, 256), log=True)] = 64,
    blocks: Annotated[int, vb.Hyper(low=1, search=(1, 4))] = 1,
) -> tuple[nn.Module, nn.Module]:
    """Residual blocks between linear layers, for images and vectors alike."""
    encoder = nn.Sequential(
        nn.Flatten(),
        nn.Linear(sizes.pixels, width),
        *(Residual(width) for _ in range(blocks)),
        nn.Linear(width, sizes.posterior),
    )
    decoder = nn.Sequential(
        nn.Linear(sizes.code, width),
        *(Residual(width) for _ in range(blocks)),
        nn.Linear(width, sizes.out),
    )
    return encoder, decoder
