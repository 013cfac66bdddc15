"""Independent gradients of one loss: copies of the same weights, each with noise of its own.

Shapes: R replicas, n parameters of one side.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from msgspec.structs import replace
from torch import Tensor, nn

from vaebench.config import Choice, RunConfig
from vaebench.config.build import build_stack, load_data
from vaebench.config.schedules import SCHEDULES
from vaebench.models import VAE, select
from vaebench.models.terms import compute_terms
from vaebench.objectives import OBJECTIVES
from vaebench.objectives.entry import Side
from vaebench.ops.noise import Noise, key
from vaebench.running.environment import default_device
from vaebench.training.loop import training_steps
from vaebench.training.minibatches import batches

SIDES: tuple[Side, Side] = ("encoder", "decoder")
MAX_ELEMENTS = 1 << 22
"""Largest intermediate tensor: 16 MiB in float32, so that memory does not grow with R or K."""


@dataclass(frozen=True)
class Point:
    """A checkpoint at which gradients are taken: weights, a minibatch, progress of training."""

    step: int
    progress: float
    model: VAE  # one run
    x: Tensor  # [1, B, P]
    num_examples: int


def points(config: RunConfig, at: Sequence[int]) -> list[Point]:
    """The weights of one training run after each number of steps, and its first minibatch."""
    dataset, device = load_data(config.data), default_device()
    model = build_stack([config], dataset.image_shape, dataset.log_volume).to(device)
    x = next(batches([config], dataset, next(model.parameters())))[0]
    num_examples, checkpoints = len(dataset.train), []
    done = itertools.chain([0], (s.index + 1 for s in training_steps(model, [config], dataset)))
    for step in itertools.islice(done, max(at) + 1):
        if step in at:
            progress = step / config.train.num_steps
            checkpoints.append(Point(step, progress, select(model, [0]), x, num_examples))
    return checkpoints


def gradients(model: VAE, point: Point, config: RunConfig, noise: Noise) -> dict[Side, Tensor]:
    """The gradient of the minibatch's mean loss in each of R copies: [R, n] for each side.

    Computed as in the training loop, with schedules at the progress of the point.
    """
    objective = OBJECTIVES[config.objective.name]
    terms = compute_terms(
        model,
        point.x.expand(model.num_runs, -1, -1),
        noise,
        num_samples=config.num_samples,
        rate_weight=1.0 if config.layer_weights else _now(config.rate_weights[0], point),
        layer_weights=tuple(_now(weight, point) for weight in config.layer_weights),
        posterior_hyper={n: _now(v, point) for n, v in config.posterior.hyper.items()},
        num_examples=point.num_examples,
        training=True,
    )
    hyper = {n: _now(v, point) for n, v in config.objective.hyper.items()}
    counts = {name: int(hyper[name]) for name in objective.counts}
    loss = objective(terms, **{**hyper, **counts, **objective.initial_state})
    sides = parameters(model)
    slopes = iter(
        torch.autograd.grad(
            loss.mean(-1).sum(),
            [p for side in SIDES for p in sides[side]],
            allow_unused=True,
            materialize_grads=True,
        )
    )
    return {s: torch.cat([next(slopes).flatten(1) for _ in sides[s]], 1) for s in SIDES}


def parameters(model: VAE) -> dict[Side, list[nn.Parameter]]:
    """The parameters of q(z|x) (encoder, posterior network) and of p(x, z) (all others)."""
    decoder = [p for part in (model.decoder, model.learned) for p in part.parameters()]
    return {
        "encoder": [*model.encoder.parameters(), *model.posterior_parameters()],
        "decoder": [*decoder, *model.prior_parameters()],
    }


def replicas(
    point: Point, config: RunConfig, stream: str, num: int, max_elements: int = MAX_ELEMENTS
) -> Iterator[dict[Side, Tensor]]:
    """`num` independent gradients in stacks, as many copies at a time as fit.

    The noise of a replica is a function of seed, stream and its number, not of its stack.
    Every objective sees the same noise in one stream.
    """
    size = max(1, min(num, max_elements // _elements(point, config)))
    for first, last in itertools.pairwise([*range(0, num, size), num]):
        copies = select(point.model, [0] * (last - first)).requires_grad_(True)
        keys = tuple(key(config.seed, "gradients", stream, r) for r in range(first, last))
        yield gradients(copies, point, config, Noise(keys))


def _elements(point: Point, config: RunConfig) -> int:
    """Elements of the largest tensor of one copy: a hidden layer for all codes, or all weights."""
    layer = config.num_samples * point.x.shape[1] * point.model.numbers_per_row
    return max(layer, sum(p[0].numel() for p in point.model.parameters()))


def _now(value: float | Choice, point: Point) -> float:
    """The value of a hyperparameter, by its schedule if it has one, at the point's progress."""
    if not isinstance(value, Choice):
        return value
    return float(SCHEDULES[value.name](point.progress, **cast(dict[str, float], value.hyper)))


def with_objective(config: RunConfig, objective: Choice, num_samples: int) -> RunConfig:
    """The run with another objective and another K."""
    return replace(config, objective=objective, num_samples=num_samples)
