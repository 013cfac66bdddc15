"""Data, decoder outputs and parameters of two runs, on which likelihoods are checked."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vaebench.core.hyper import Scalar, hyperparameters
from vaebench.diagnostics.certify.cases.hyperparameters import two_values
from vaebench.models.likelihoods import Likelihood
from vaebench.ops.noise import Noise, key, normals, uniforms

SAMPLES, ROWS, PIXELS = 3, 4, 3
RUNS = Noise((key("likelihood", 0), key("likelihood", 1)))


def outputs(entry: Likelihood, level: float = 1.0, *, seed: int = 0) -> Tensor:
    """Random decoder outputs: [K, S, B, n P]."""
    width = entry.outputs_per_pixel * PIXELS
    return level * normals(RUNS.at(step=seed), SAMPLES, ROWS, width).double()


def data(entry: Likelihood) -> Tensor:
    """Values of the support: [S, B, P]."""
    u = uniforms(RUNS.at(step=9), ROWS, PIXELS).double()
    if entry.support.values is not None:
        values = torch.tensor(entry.support.values, dtype=torch.float64)
        return values[(u * len(values)).long()]
    assert entry.support.interval is not None, "checked before"
    low, high = entry.support.interval
    if math.isfinite(low) and math.isfinite(high):
        return low + (high - low) * (0.05 + 0.9 * u)
    if math.isfinite(low):
        return low + 0.1 + 3.0 * u
    return (high if math.isfinite(high) else 2.0) - 0.1 - 3.0 * u


def parameters(entry: Likelihood) -> list[dict[str, float]]:
    """Two values of every parameter, however it gets them in training."""
    declared = hyperparameters(entry.log_prob)
    pairs = {name: two_values(h, entry.learned.get(name)) for name, h in declared.items()}
    return [{name: pair[i] for name, pair in pairs.items()} for i in range(2)]


def stacked(entry: Likelihood) -> dict[str, Scalar]:
    """One value for each of two runs, but a whole number for both."""
    first, second = parameters(entry)
    declared = hyperparameters(entry.log_prob)
    return {
        name: first[name]
        if declared[name].integer
        else torch.tensor([[first[name]], [second[name]]], dtype=torch.float64)
        for name in first
    }
