"""Stacks of each kind of graph, and the ways to compile them, which share what is compiled."""

from functools import partial

import torch

from tests.support.graphs import history
from tests.support.runs import run_config, small
from vaebench.training.stepping.compiled import way

NUM_STEPS = 10
EXACT = {"rtol": 1e-10, "atol": 1e-12}
"""In float64, where only the order of additions differs."""


def two_runs(objective="elbo", likelihood="bernoulli", **more):
    return [
        run_config(objective, likelihood, seed=seed, num_steps=NUM_STEPS, **more) for seed in (0, 1)
    ]


def linear(**points):
    return {"name": "linear", "over": 1.0, **points}


def beta(value):
    return {"objective": {"name": "beta_elbo", "beta": value}}


def geco(speed):
    return {"objective": {"name": "geco", "target": 30.0, "speed": speed}}


HIDDEN = {"name": "mlp", "widths": [12], "latent_dim": 2}
KINDS = {
    "beta_elbo": beta(4.0) | {"model": HIDDEN, "num_samples": 1},
    "iwae": {"objective": "iwae", "likelihood": "gaussian_learned", "num_samples": 3},
    "conv": {"model": small("conv")},
    "geco": geco(linear(start=0.1, stop=0.01)),
    "factor_vae": {"objective": "factor_vae"},
    "gaussian_optimal": {"likelihood": "gaussian_optimal"},
}
"""Plain; with a number of samples; with other layers; with a state; with an auxiliary network; and
with buffers that move."""
SCALARS = (
    {"seed": 0, "learning_rate": 1e-2, "weight_decay": 0.1},
    {"seed": 1, "learning_rate": 1e-3, "rate_weight": linear(start=0.5), "max_grad_norm": 0.5},
    {"seed": 2, "learning_rate": 3e-3, "weight_decay": 0.5, "max_grad_norm": 2.0},
)
"""What the three runs of a stack differ in."""
IN_FLOAT32 = {"rtol": 2e-4, "atol": 2e-4}
SAME_BITS = {"rtol": 0.0, "atol": 0.0}


def stack_of(kind, scalars=SCALARS, **more):
    return [run_config(**KINDS[kind] | of_run | more, num_steps=NUM_STEPS) for of_run in scalars]


GRAPHS = way.Graphs()
always, where_possible = partial(way.CompiledSteps, GRAPHS), partial(way.CompiledOrEager, GRAPHS)
"""Ways that share the graphs that are compiled in this process."""


def compiled(configs, at_once=4):
    return history(configs, always, torch.float32, at_once)
