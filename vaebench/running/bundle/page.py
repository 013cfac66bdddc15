"""The file model.py that an export writes, with room for what differs from run to run."""

WRITTEN_BY = "model.json says what their numbers mean. Written by\nvaebench"
"""What marks a file that was written here."""
NETWORK = '''\
def {name}() -> nn.ModuleList:
    """{says}"""
    return {expression}


'''
"""A function that makes a network of q(z|x) or p(z)."""
PAGE = '''\
"""Run {run}: {described}, as plain PyTorch.

`load()` gives encoder, decoder and prior; {written_by} {version}; needs torch and
safetensors alone.
"""

from math import inf, nan  # noqa: F401
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, distributions, nn

{classes}
def encoder() -> nn.Module:
    """Examples [B, {pixels}] -> the numbers of q(z|x) [B, {numbers}]."""
    return {encoder}


def decoder() -> nn.Module:
    """Codes [B, {width}] -> what p(x|z) is made of [B, {outputs}]."""
    return {decoder}


def mean() -> nn.Module:
    """What the decoder gives -> the mean of p(x|z) [B, {pixels}]."""
    return {mean}


{networks}{helpers}def posterior({arguments}) -> distributions.Distribution:
    """q(z|x) of the encoder's numbers, over codes."""
{posterior}

class Prior(nn.Module):
    """p(z): call it for a torch.distributions object over codes."""

    def __init__(self) -> None:
        super().__init__()
{tensors}
    def forward(self) -> distributions.Distribution:
{prior}

class Model(nn.Module):
    """The networks of the run."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder, self.mean = encoder(), decoder(), mean()
        self.prior = Prior()
{holds}
    def posterior(self, x: Tensor) -> distributions.Distribution:
        """q(z|x) of examples [B, {pixels}], scaled and binarised as model.json says."""
        return posterior({call})


def load(folder: str | Path = Path(__file__).parent, device: str = "cpu") -> Model:
    """The trained model, fit to be evaluated."""
    model = Model().to(device)
    model.load_state_dict(load_file(Path(folder) / "weights.safetensors", device=device))
    return model.eval()
'''
