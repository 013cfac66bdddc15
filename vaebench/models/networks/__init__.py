"""Encoders and decoders: one function per entry.

A module in this folder registers by being here.
"""

from vaebench.core.registry import discover
from vaebench.models.networks.entry import MODELS, Model, StackedModel, model, stacked_model
from vaebench.models.networks.sizes import ImageShape, Networks, Sizes

discover(__name__, __path__)

__all__ = [
    "MODELS",
    "ImageShape",
    "Model",
    "Networks",
    "Sizes",
    "StackedModel",
    "model",
    "stacked_model",
]
