"""Twelve ways to spoil a run on the digits, each with what the clinic has to call it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vaebench.config import RunConfig, parse
from vaebench.data import load

BASE: dict[str, Any] = {
    "objective": "elbo",
    "likelihood": "bernoulli",
    "data": {"name": "digits", "binarisation": "dynamic"},
    "model": {"latent_dim": 8, "widths": [128]},
    "train": {"num_steps": 2000},
    "evaluate": {
        "num_samples": 500,
        "num_images": 500,
        "gradings": [
            "likelihood",
            "latent",
            "samples",
            {"name": "gaps", "num_examples": 32, "num_samples": 200, "num_steps": 100},
        ],
    },
}
SCALE = "rate weighed on another scale than the likelihood"


@dataclass(frozen=True)
class Fault:
    """What is wrong with a run, in a word, and what the clinic has to name."""

    what: str
    name: str
    changes: Mapping[str, Any]
    """To BASE: a section's table is laid over it."""

    def config(self, seed: int) -> RunConfig:
        """The configuration of the spoiled run."""
        table = {**BASE, "seed": seed}
        for key, value in self.changes.items():
            both = isinstance(table.get(key), dict) and key in (
                "data",
                "model",
                "train",
                "evaluate",
            )
            table[key] = {**table[key], **value} if both else value
        return parse(table)


def faults(folder: Path) -> list[Fault]:
    """The twelve; data sets of few digits are written to the folder."""
    few, fewer = _few(folder, 60), _few(folder, 12)
    return [*_of_the_loss(), *_of_size(few, fewer), *_of_training(few), *_of_the_evaluation()]


def _of_the_loss() -> list[Fault]:
    """Terms that are weighed wrongly."""
    return [
        Fault(
            "a beta that no code survives",
            "posterior collapse",
            {"objective": {"name": "beta_elbo", "beta": 6.0}},
        ),
        Fault(
            "the same beta, reached by a warm-up",
            "posterior collapse",
            {
                "objective": {"name": "beta_elbo", "beta": 6.0},
                "rate_weight": {"name": "linear", "over": 0.5},
            },
        ),
        Fault(
            "a mean over 64 pixels for a sum",
            SCALE,
            {"objective": {"name": "beta_elbo", "beta": 64.0}},
        ),
        Fault(
            "a sum over pixels, the KL divided by 64",
            SCALE,
            {"objective": {"name": "beta_elbo", "beta": 1.0 / 64.0}},
        ),
        Fault(
            "squared error as a Gaussian of sigma 1",
            SCALE,
            {
                "likelihood": {"name": "gaussian", "sigma": 1.0},
                "data": {"binarisation": "none"},
            },
        ),
    ]


def _of_size(few: str, fewer: str) -> list[Fault]:
    """Models that are too large, for the code or for the data."""
    wide = {"widths": [512, 512], "latent_dim": 16}
    long = {"num_steps": 4000, "batch_size": 12}
    return [
        Fault(
            "40 dimensions for what 12 can carry",
            "unused dimensions of the code",
            {"model": {"latent_dim": 40}},
        ),
        Fault(
            "60 images for half a million weights",
            "overfitting",
            {"data": {"name": few, "binarisation": "threshold"}, "model": wide, "train": long},
        ),
        Fault(
            "12 images for half a million weights",
            "memorised images",
            {
                "data": {"name": fewer, "binarisation": "none"},
                "likelihood": "gaussian_learned",
                "model": wide,
                "train": long,
            },
        ),
    ]


def _of_training(few: str) -> list[Fault]:
    """Weights that diverge, or are not yet, or nowhere else, what they could be."""
    return [
        Fault(
            "a learning rate of 1000",
            "divergence",
            {"train": {"learning_rate": 1000.0}},
        ),
        Fault(
            "80 training steps",
            "training ended too early",
            {"train": {"num_steps": 80}},
        ),
        Fault(
            "an encoder fitted to 60 images",
            "an amortisation gap",
            {
                "data": {"name": few, "binarisation": "threshold"},
                "model": {"widths": [256]},
                "train": {"num_steps": 3000, "batch_size": 32},
            },
        ),
    ]


def _of_the_evaluation() -> list[Fault]:
    """Figures that need more samples."""
    return [
        Fault(
            "an NLL of 100 samples for a sharp density",
            "an NLL not to be trusted",
            {
                "likelihood": "gaussian_learned",
                "data": {"binarisation": "none"},
                "evaluate": {"num_samples": 100},
            },
        ),
    ]


def _few(folder: Path, num: int) -> str:
    """The digits with the first of the training images alone: where they are written."""
    digits, path = load("digits", "none"), folder / f"digits_{num}.npz"
    parts = {"train": digits.train, "valid": digits.valid, "test": digits.test}
    images = {f"x_{name}": part.images.stored.numpy() for name, part in parts.items()}
    images["x_train"] = images["x_train"][:num]
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        allow_pickle=False,
        **{name: stored.reshape(-1, 8, 8) for name, stored in images.items()},
    )
    return str(path)
