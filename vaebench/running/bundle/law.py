"""What stands in model.py for q(z|x) or p(z)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn


@dataclass(frozen=True)
class Network:
    """A network that a distribution needs beside the encoder and the decoder."""

    name: str
    says: str
    """What it computes, in a sentence."""
    module: nn.Module
    """The network of one run."""


@dataclass(frozen=True)
class Law:
    """A distribution as source, by torch.distributions."""

    body: str
    """What `posterior(numbers)` does, or the prior's `forward`."""
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    """Buffers of the prior, by name."""
    helpers: str = ""
    """Functions and classes that the body calls."""
    network: Network | None = None
    """What `posterior(numbers, network)` is given besides, and the prior has as an attribute."""
