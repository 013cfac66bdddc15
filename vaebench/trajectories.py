"""Scalars over the steps of training: numbers and schedules of S runs, as the loop reads them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from vaebench.config import Choice, RunConfig
from vaebench.hyper import Scalar
from vaebench.schedules import SCHEDULES


def trajectories(
    choices: Sequence[Choice], config: RunConfig, place: Tensor, counts: Sequence[str] = ()
) -> dict[str, Callable[[int], Scalar]]:
    """Each hyperparameter of the runs over the steps of training; a count is one int for all."""
    first = choices[0]

    def over_training(name: str) -> Callable[[int], Scalar]:
        if name in counts:
            value = first.hyper[name]
            assert not isinstance(value, Choice), "a count has no schedule"
            return lambda step: int(value)
        return trajectory([choice.hyper[name] for choice in choices], config, place)

    return {name: over_training(name) for name in first.hyper}


def trajectory(
    values: Sequence[float | Choice], config: RunConfig, place: Tensor
) -> Callable[[int], Scalar]:
    """A scalar of each run over the steps of training: step -> float or [S, 1]."""
    if all(value == values[0] for value in values) and not isinstance(values[0], Choice):
        constant = float(values[0])
        return lambda step: constant
    num_steps = config.train.num_steps
    table = torch.tensor([_at_each_step(value, num_steps) for value in values]).to(place)
    return lambda step: table[:, step, None]


def _at_each_step(value: float | Choice, num_steps: int) -> list[float]:
    if not isinstance(value, Choice):
        return [value] * num_steps
    schedule = SCHEDULES[value.name]
    return [schedule(step / num_steps, **value.hyper) for step in range(num_steps)]
