"""Encoders and decoders: one function per entry.

A module in this folder registers by being here.
"""

from vaebench.core.registry import discover
from vaebench.models.networks.entry import MODELS, ImageShape, Model, Networks, Sizes, model

discover(__name__, __path__)

__all__ = ["MODELS", "ImageShape", "Model", "Networks", "Sizes", "model"]
