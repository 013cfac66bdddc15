"""Models with exact answers, and a small data set."""

from __future__ import annotations

import os
import signal
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import pytest
import torch

from vaebench.diagnostics.certify import linear_gaussian
from vaebench.models import VAE

torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def signals_as_at_a_terminal() -> None:
    """Not ignored, as they are where the tests run in the background or under nohup."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Every test draws the same numbers each time: a bound in float32 holds for these, or never."""
    torch.manual_seed(0)


@pytest.fixture
def true_posterior() -> VAE:
    """The linear-Gaussian VAE, float64, with q(z|x) = p(z|x)."""
    return linear_gaussian(wrong=0.0)


@pytest.fixture
def wrong_posterior() -> VAE:
    """The linear-Gaussian VAE, float64, with a q(z|x) that is off in mean and variance."""
    return linear_gaussian(wrong=1.0)


@pytest.fixture
def tiny_npz(tmp_path: Path) -> Path:
    """A data set small enough to train on in a moment: 40 + 16 binary 4x4 images with labels."""
    return _tiny(tmp_path)


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, for fixtures that several tests share."""
    return _tiny(tmp_path_factory.mktemp("data"))


def _tiny(folder: Path) -> Path:
    generator = np.random.default_rng(0)
    images = (generator.random((56, 4, 4)) < 0.4).astype(np.uint8)
    path = folder / "tiny.npz"
    labels = images.sum((1, 2)) % 3
    np.savez(path, x_train=images[:40], x_test=images[40:], y_train=labels[:40], y_test=labels[40:])
    return path
