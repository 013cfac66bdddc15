"""p(z): a log-density, and how to draw from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from vaebench import densities
from vaebench.noise import Noise, normals


@dataclass(frozen=True)
class Prior:
    """p(z): log_prob takes [..., D] to [...]; sample(noise, n, D) gives [S, n, D]."""

    log_prob: Callable[[Tensor], Tensor]
    sample: Callable[[Noise, int, int], Tensor]


def _sample_standard_normal(noise: Noise, num_rows: int, latent_dim: int) -> Tensor:
    return normals(noise, 1, num_rows, latent_dim)[0]


STANDARD_NORMAL = Prior(densities.standard_normal_log_prob, _sample_standard_normal)
