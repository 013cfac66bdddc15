"""The normals that the kernels make in registers, by Triton's interpreter: those of `ops.noise`.

`test_gpu.py` runs this file in a process of its own, with TRITON_INTERPRET=1.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from vaebench.ops.gpu import reparameterise_kl
from vaebench.ops.noise import Noise, normals, philox, uniform

KEYS = (3, 2**63 - 1, 2**62 + 2**32)


def noise_of(num_runs: int, **first: int) -> Noise:
    return Noise(KEYS[:num_runs], **first)


FIRSTS = [
    {"step": 0},
    {"step": 2**31 + 5, "first_sample": 3, "first_row": 11},
    {"step": 2**32 - 1, "first_sample": 2**31 - 1, "first_row": 2**31 - 2},
    {"step": 2**31 - 1, "first_sample": 2**32 - 5, "first_row": 2**32 - 40},
]


def kernel_normals(noise: Noise, num_samples: int, num_rows: int, num_columns: int) -> Tensor:
    zeros = torch.zeros(len(noise.keys), num_rows, num_columns)
    return reparameterise_kl(zeros, zeros, noise, num_samples)[0]


def exact_normals(noise: Noise, num_samples: int, num_rows: int, num_columns: int) -> Tensor:
    """Box-Muller in float64 of Philox words, written out: [K, S, B, D], D a multiple of 4."""
    runs = range(len(noise.keys))
    axes = np.ix_(range(num_samples), runs, range(num_rows), range(num_columns // 4))
    sample, run, row, quad = (axis.astype(np.uint64) for axis in axes)
    step = np.full((1, 1, 1, 1), noise.step, dtype=np.uint64)
    key = np.array(noise.keys, dtype=np.uint64)[run.astype(np.int64)]
    counter = (quad, row + noise.first_row, sample + noise.first_sample, step)
    a, b, c, d = (torch.from_numpy(uniform(words)).double() for words in philox(key, counter))
    lanes = []
    for u, v in ((a, b), (c, d)):
        radius, angle = (-2.0 * u.clamp_min(1e-7).log()).sqrt(), 2.0 * torch.pi * v
        lanes += [radius * angle.cos(), radius * angle.sin()]
    return torch.stack(lanes, -1).flatten(-2)


@pytest.mark.parametrize("first", FIRSTS, ids=str)
def test_normals_are_those_of_noise(first: dict[str, int]) -> None:
    noise = noise_of(3, **first)
    got = kernel_normals(noise, 4, 37, 20)
    # float32 cosines of angles up to 2 pi leave noise.normals 1.7e-6 off
    torch.testing.assert_close(got, normals(noise, 4, 37, 20), rtol=0, atol=1.5e-6)
    torch.testing.assert_close(got.double(), exact_normals(noise, 4, 37, 20), rtol=0, atol=1e-6)


def test_normals_are_standard() -> None:
    eps = kernel_normals(noise_of(3), 4, 64, 64).double()
    assert abs(eps.mean()) < 4 / eps.numel() ** 0.5
    assert abs(eps.var() - 1.0) < 4 * (2 / eps.numel()) ** 0.5
    assert eps.abs().max() < 5.68


def test_noise_does_not_depend_on_the_batch() -> None:
    whole = kernel_normals(noise_of(3, step=9), 5, 40, 20)
    noise = noise_of(3).at(step=9, sample=2, row=33)
    assert torch.equal(kernel_normals(noise, 3, 7, 20), whole[2:, :, 33:])
    alone = kernel_normals(Noise(KEYS[1:2], step=9), 5, 40, 20)
    assert torch.equal(alone, whole[:, 1:2])
    assert torch.equal(kernel_normals(noise_of(3, step=9), 5, 40, 7), whole[..., :7])
