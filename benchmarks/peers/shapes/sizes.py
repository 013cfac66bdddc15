"""Which shapes are raced, and who races over them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.peers.entries import COMPILED, EAGER, SIZES, Peer
from benchmarks.peers.work import Size

NUM_COMPONENTS = 10
GAMMA = 6.0
CHANNELS = (16, 32)


def _shape(
    name: str,
    words: str,
    configuration: Mapping[str, Any],
    *,
    size: Size = SIZES[0],
    stack: int = 8,
    num_samples: int = 1,
    block: int = 16,
    plugin: Path | None = None,
    check_tolerance: float = 1e-4,
) -> Size:
    """A size with another model, objective or precision; it is compared at shared weights."""
    return replace(
        size,
        name=name,
        words=words,
        configuration=configuration,
        stack=stack,
        stacks=(stack,),
        curve=(),
        gate_steps=0,
        gate_runs=0,
        num_samples=num_samples,
        block=block,
        plugin=plugin,
        check_tolerance=check_tolerance,
    )


SHAPES = (
    _shape(
        "conv",
        f"conv, {CHANNELS[0]} and {CHANNELS[1]} channels",
        {"model.name": "conv", "model.widths": list(CHANNELS)},
        block=8,
    ),
    _shape("iwae", "iwae, K=50", {"objective": "iwae"}, num_samples=50, block=8),
    _shape("dreg", "dreg, K=5", {"objective": "dreg"}, num_samples=5),
    _shape(
        "factor_vae",
        "factor_vae, a critic of three hidden layers",
        {"objective": {"name": "factor_vae", "gamma": GAMMA}},
    ),
    _shape(
        "learned_prior",
        f"elbo_mc, a prior of {NUM_COMPONENTS} Gaussians",
        {
            "objective": "elbo_mc",
            "prior": "mixture_of_gaussians",
            "model.num_components": NUM_COMPONENTS,
        },
    ),
    _shape(
        "bfloat16",
        "bfloat16",
        {"train.precision": "bfloat16"},
        size=SIZES[1],
        stack=4,
        block=8,
        check_tolerance=0.02,
    ),
)

SHAPE_PEERS = (
    EAGER,
    COMPILED,
    Peer("jax-scan", "JAX", "jax", "shapes.with_jax:scan"),
    Peer("jax-vmap-scan", "JAX", "jax", "shapes.with_jax:vmapped_scan", stacks=True),
    Peer("pytorch", "PyTorch", "torch", "shapes.with_torch:loop"),
)

MODULES = (
    _shape(
        "own",
        "a user's own module",
        {"model": {"name": "plain", "width": SIZES[0].hidden, "latent_dim": SIZES[0].latent}},
        plugin=Path(__file__).with_name("own.py"),
    ),
    _shape(
        "resnet",
        f"resnet, {CHANNELS[0]} and {CHANNELS[1]} channels",
        {"model": {"name": "resnet", "channels": CHANNELS[0], "latent_dim": SIZES[1].latent}},
        size=SIZES[1],
        stack=2,
        block=2,
    ),
)
"""Models of one run, of which plain PyTorch trains the modules themselves."""
MODULE_PEERS = (
    EAGER,
    COMPILED,
    Peer("pytorch-module", "PyTorch", "torch", "shapes.with_module:loop"),
)
