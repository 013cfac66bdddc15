"""Scalars over the steps of training: numbers and schedules of S runs, as the loop reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vaebench.config import Choice, RunConfig, TrainConfig
from vaebench.config.schedules import SCHEDULES
from vaebench.core.hyper import Scalar
from vaebench.objectives import OBJECTIVES
from vaebench.ops.adam import AdamScalars


def scalars(configs: Sequence[RunConfig], place: Tensor) -> Callable[[int], Scalars]:
    """All scalars of the runs' losses over the steps of training; one object for all steps where
    none has a schedule."""
    first = configs[0]
    counts = OBJECTIVES[first.objective.name].counts
    hyper = trajectories([c.objective for c in configs], first, place, counts)
    posterior_hyper = trajectories([c.posterior for c in configs], first, place)
    rate_weight = trajectory([_whole(c.rate_weight) for c in configs], first, place)
    layer_weights = [
        trajectory(of_layer, first, place)
        for of_layer in zip(*(c.layer_weights for c in configs), strict=True)
    ]

    def at_step(step: int) -> Scalars:
        return Scalars(
            {name: value(step) for name, value in hyper.items()},
            {name: value(step) for name, value in posterior_hyper.items()},
            rate_weight(step),
            tuple(of_layer(step) for of_layer in layer_weights),
        )

    if any(isinstance(value, Choice) for config in configs for value in _values(config)):
        return at_step
    same = at_step(0)
    return lambda step: same


def adam_scalars(configs: Sequence[RunConfig]) -> Callable[[int], Sequence[AdamScalars]]:
    """Adam's scalars of each run over the steps of training; one object for all steps, or for all
    but the first, where no learning rate has a schedule."""

    def at_step(step: int) -> Sequence[AdamScalars]:
        progress = step / configs[0].train.num_steps
        return [_of_adam(config.train, progress) for config in configs]

    # Averages of weights begin with the weights after the first step.
    first = [scalars._replace(ema=0.0) for scalars in at_step(0)]
    if any(isinstance(config.train.learning_rate, Choice) for config in configs):
        return lambda step: at_step(step) if step else first
    later = at_step(0) if any(config.train.ema for config in configs) else first
    return lambda step: later if step else first


def _of_adam(train: TrainConfig, progress: float) -> AdamScalars:
    rate = _value_at(train.learning_rate, progress)
    return AdamScalars(rate, train.weight_decay, train.beta1, train.beta2, train.epsilon, train.ema)


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
    if not any(isinstance(value, Choice) for value in values):
        of_runs = torch.tensor(values)[:, None].to(place)
        return lambda step: of_runs
    num_steps = config.train.num_steps
    table = _tables(values, num_steps).to(place)
    return lambda step: table[:, step, None]


def settled(config: RunConfig) -> int:
    """The first step from which no schedule of the run's loss changes its value any more, and its
    learning rate rises no more; 0 without a schedule.

    It compares the values, rounded as the loop reads them, so it holds for any schedule. One that
    still changes at the last step never settles before it; a learning rate that only falls does
    from the start, as every point of the curve has the same objective.
    """
    schedules = [value for value in _values(config) if isinstance(value, Choice)]
    num_steps, rate = config.train.num_steps, config.train.learning_rate
    changes = torch.zeros(num_steps - 1, dtype=torch.bool)
    if schedules:
        table = _tables(schedules, num_steps)
        changes |= (table[:, 1:] != table[:, :-1]).any(0)
    if isinstance(rate, Choice):
        (rates,) = _tables([rate], num_steps)
        changes |= rates[1:] > rates[:-1]
    steps = changes.nonzero()
    return int(steps.max()) + 1 if len(steps) else 0


def _values(config: RunConfig) -> tuple[float | Choice, ...]:
    """The numbers and schedules of the scalars of a run's loss."""
    of_objective, of_posterior = config.objective.hyper, config.posterior.hyper
    return (*of_objective.values(), *of_posterior.values(), *config.rate_weights)


def _whole(weight: float | Choice | tuple[float | Choice, ...]) -> float | Choice:
    """The weight on the whole rate: 1 where each layer has one."""
    return 1.0 if isinstance(weight, tuple) else weight


def _tables(values: Sequence[float | Choice], num_steps: int) -> Tensor:
    """The values over all steps, [S, T]: computed once for each that is another."""
    others = [v for i, v in enumerate(values) if v not in values[:i]]
    tables = [torch.tensor(_at_each_step(value, num_steps)) for value in others]
    return torch.stack([tables[others.index(value)] for value in values])


def _at_each_step(value: float | Choice, num_steps: int) -> list[float]:
    if not isinstance(value, Choice):
        return [value] * num_steps
    return [_value_at(value, step / num_steps) for step in range(num_steps)]


def _value_at(value: float | Choice, progress: float) -> float:
    return SCHEDULES[value.name](progress, **value.hyper) if isinstance(value, Choice) else value


State = dict[str, Tensor]
"""What an objective keeps for each run from step to step: [S, 1] each, by name."""


@dataclass(frozen=True)
class Scalars:
    """The scalars of one step, by name: floats or [S, 1]."""

    objective: Mapping[str, Scalar]
    """Hyperparameters; after `with_state`, the objective's state too."""
    posterior: Mapping[str, Scalar]
    rate_weight: Scalar
    layer_weights: tuple[Scalar, ...] = ()

    def values(self) -> tuple[Scalar, ...]:
        """All scalars, in the order in which `mapped` takes them."""
        of_rate = (self.rate_weight, *self.layer_weights)
        return (*self.objective.values(), *self.posterior.values(), *of_rate)

    def mapped(self, change: Callable[[Scalar], Scalar]) -> Scalars:
        """The same names with other values."""
        return Scalars(
            {name: change(value) for name, value in self.objective.items()},
            {name: change(value) for name, value in self.posterior.items()},
            change(self.rate_weight),
            tuple(change(weight) for weight in self.layer_weights),
        )

    def with_constants(self, constants: Mapping[str, float]) -> Scalars:
        """These scalars together with hyperparameters of the objective that never change."""
        return replace(self, objective={**constants, **self.objective})

    def with_state(self, state: State) -> Scalars:
        """These scalars together with what an objective keeps from step to step."""
        return replace(self, objective={**self.objective, **state})
