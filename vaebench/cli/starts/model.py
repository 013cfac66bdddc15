"""A model of my own: the encoder and decoder of one run, as ordinary PyTorch modules.

    vaebench certify my_model --plugin FILE
    vaebench run study.toml --plugin FILE

with `model = { name = "my_model", width = 256 }` in the [base] of the study.
"""

from typing import Annotated, Literal

from torch import nn

import vaebench as vb


# What follows the * are hyperparameters. Numbers may have limits, and a range that
# `vaebench sweep` searches; words list what they may be; true or false is a bool.
@vb.model()
def my_model(
    sizes: vb.Sizes,
    *,
    width: Annotated[int, vb.Hyper(low=1, search=(64, 512), log=True)] = 128,
    dropout: Annotated[float, vb.Hyper(low=0.0, high=0.9)] = 0.1,
    activation: Literal["relu", "gelu"] = "relu",
) -> tuple[nn.Module, nn.Module]:
    """Two hidden layers, with batch normalisation and dropout in the encoder."""
    function = nn.ReLU if activation == "relu" else nn.GELU

    # x [B, *sizes.shape] -> [B, sizes.posterior], the numbers of q(z|x). An image comes as
    # (channels, height, width); it has sizes.pixels numbers in all.
    encoder = nn.Sequential(
        nn.Flatten(),
        nn.Linear(sizes.pixels, width, bias=False),
        nn.BatchNorm1d(width),
        function(),
        nn.Dropout(dropout),
        nn.Linear(width, sizes.posterior),
    )

    # z [B, sizes.code] -> [B, sizes.out] or [B, *sizes.out_shape], what the likelihood takes:
    # logits, means, or several numbers for each pixel. No sigmoid at the end.
    decoder = nn.Sequential(
        nn.Linear(sizes.code, width),
        function(),
        nn.Linear(width, sizes.out),
    )
    return encoder, decoder
