"""The data set `series`: windows of noisy oscillators, real values with known factors."""

from __future__ import annotations

import numpy as np

from vaebench.data.arrays import Arrays
from vaebench.data.drawn import Numbers, combinations, divided, uniform

LENGTH = 32
"""Samples of a window."""
TIMES = 20
"""Windows of each combination of factors."""
PERIODS = (1.0, 1.5, 2.0, 2.5, 3.0, 3.5)
"""Periods within a window."""
AMPLITUDES = (0.5, 1.0, 2.0)
NUM_PHASES = 8
FACTORS = {"frequency": len(PERIODS), "amplitude": len(AMPLITUDES), "phase": NUM_PHASES}
"""The columns of the factors, and how many values each has."""
NOISE = 0.2
"""The standard deviation of the noise on each sample."""
GRID = 2.0**-10
"""Samples are rounded to it, which removes what machines differ in beyond the last digits."""


def series() -> Arrays:
    """2880 windows of 32 samples, from all 144 combinations of frequency, amplitude and phase.

    The test part is a fixed fifth; the labels are the frequencies.
    """
    factors = combinations(tuple(FACTORS.values()), TIMES)
    x = oscillators(factors) + NOISE * _noise(len(factors))
    rounded = (GRID * np.rint(x / GRID)).astype(np.float32)
    return divided("series", rounded, factors, 1.0, "real")


def oscillators(factors: np.ndarray) -> Numbers:
    """The windows without their noise, given the factors [N, 3]: [N, 32]."""
    frequency, amplitude, phase = factors.T[:, :, None]
    turns = np.array(PERIODS)[frequency] * np.arange(LENGTH) / LENGTH + phase / NUM_PHASES
    waves: Numbers = np.array(AMPLITUDES)[amplitude] * np.sin(2.0 * np.pi * turns)
    return waves


def _noise(num: int) -> Numbers:
    """Sums of twelve uniform variables less 6: variance 1, nearly normal, no rounding: [N, 32]."""
    u = uniform("series", "noise", (num, 12 * LENGTH))
    total: Numbers = u.reshape(num, LENGTH, 12).sum(-1)
    return total - 6.0
