"""What theory gives for a run's data: figures that no paper's table is needed for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from vaebench.config import RunConfig, convert
from vaebench.config.build import load_data


def pca_nll(config: Mapping[str, Any]) -> float:
    """-log p(x) of the test part under probabilistic PCA, fitted to the training part: nats.

    The maximum-likelihood solution of Tipping & Bishop 1999, eq. 7 and 8, with as many dimensions
    as the run's code. It is the optimum of the linear VAE (Lucas et al. 2019).
    """
    run: RunConfig = convert(config, RunConfig)
    dataset = load_data(run.data)
    return held_out_pca(dataset.train.x, dataset.test.x, run.model.latent_dim)


def held_out_pca(train: Tensor, test: Tensor, dim: int) -> float:
    """-log p of the rows of test [N, P], of the PCA of train [M, P] with `dim` dimensions."""
    x, held_out = train.double(), test.double()
    mean, num_pixels = x.mean(0), x.shape[-1]
    values, vectors = torch.linalg.eigh(torch.cov(x.T, correction=0))  # in ascending order
    noise = values[:-dim].mean()
    variances = torch.cat([noise.expand(num_pixels - dim), values[-dim:]])
    squares = ((held_out - mean) @ vectors).square() / variances
    constant = num_pixels * math.log(2.0 * math.pi)
    return float(0.5 * (constant + variances.log().sum() + squares.sum(-1).mean()))


EXACT: Mapping[str, Callable[[Mapping[str, Any]], float]] = {"pca_nll": pca_nll}
"""What a statement may name as its theory: (a run's configuration) -> the figure."""
