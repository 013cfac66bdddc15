"""Encoders and decoders of S runs side by side: batched layers with a leading S axis.

Shapes: x [S, B, P], z [K, S, B, D], decoder output [K, S, B, n P], n numbers for each pixel.
"""

from vaebench.models.construction import build
from vaebench.models.family import Family
from vaebench.models.networks.affine import LinearEncoder
from vaebench.models.networks.entry import MODELS
from vaebench.models.networks.layers import StackedLinear
from vaebench.models.networks.sizes import ImageShape
from vaebench.models.stack import put_back, select, tensors, weights
from vaebench.models.vae import VAE

__all__ = [
    "MODELS",
    "VAE",
    "Family",
    "ImageShape",
    "LinearEncoder",
    "StackedLinear",
    "build",
    "put_back",
    "select",
    "tensors",
    "weights",
]
