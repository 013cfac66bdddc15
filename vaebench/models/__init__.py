"""Encoders and decoders of S runs side by side: batched layers with a leading S axis.

Shapes: x [S, B, P], z [K, S, B, D], decoder output [K, S, B, n P], n numbers for each pixel.
"""

from vaebench.models.networks.affine import LinearEncoder
from vaebench.models.networks.entry import MODELS, ImageShape
from vaebench.models.networks.layers import StackedLinear
from vaebench.models.vae import VAE, Family, build, put_back, select, tensors, weights

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
