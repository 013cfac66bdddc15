"""Encoders and decoders, one function for each entry."""

from vaebench.models.networks import affine, convolutional

__all__ = ["affine", "convolutional"]
