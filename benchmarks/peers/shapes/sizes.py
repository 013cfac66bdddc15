"""Which shapes are raced, and who races over them."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.peers.entries import COMPILED, EAGER, SIZES, Peer

NUM_COMPONENTS = 10
GAMMA = 6.0
CHANNELS = (16, 32)

SMALL = replace(
    SIZES[0], stack=8, stacks=(8,), curve=(), gate_steps=0, gate_runs=0, check_tolerance=1e-4
)
LARGE = replace(
    SIZES[1], stack=4, stacks=(4,), curve=(), gate_steps=0, gate_runs=0, check_tolerance=1e-4
)

SHAPES = (
    replace(
        SMALL,
        name="conv",
        words=f"conv, {CHANNELS[0]} and {CHANNELS[1]} channels",
        configuration={"model.name": "conv", "model.widths": list(CHANNELS)},
        block=8,
    ),
    replace(
        SMALL,
        name="iwae",
        words="iwae, K=50",
        configuration={"objective": "iwae"},
        num_samples=50,
        block=8,
    ),
    replace(
        SMALL,
        name="dreg",
        words="dreg, K=5",
        configuration={"objective": "dreg"},
        num_samples=5,
    ),
    replace(
        SMALL,
        name="factor_vae",
        words="factor_vae, a critic of three hidden layers",
        configuration={"objective": {"name": "factor_vae", "gamma": GAMMA}},
    ),
    replace(
        SMALL,
        name="learned_prior",
        words=f"elbo_mc, a prior of {NUM_COMPONENTS} Gaussians",
        configuration={
            "objective": "elbo_mc",
            "prior": "mixture_of_gaussians",
            "model.num_components": NUM_COMPONENTS,
        },
    ),
    replace(
        LARGE,
        name="bfloat16",
        words="bfloat16",
        configuration={"train.precision": "bfloat16"},
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
