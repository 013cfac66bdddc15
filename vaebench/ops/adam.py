"""Adam with decoupled weight decay for a stack of runs, each with scalars of its own."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor


class AdamScalars(NamedTuple):
    """What may differ between the runs of a stack, and from step to step: the fields of the struct
    in ops/c/adam.h, in their order."""

    learning_rate: float
    weight_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    ema: float = 0.0
    """Share of the old value in the moving average of weights, where there is one."""


@dataclass(frozen=True)
class Moments:
    """What Adam keeps: two averages for each parameter's gradient, and the number of steps; and a
    moving average of each parameter, where one is wanted."""

    first: list[Tensor]
    second: list[Tensor]
    count: Tensor
    averages: list[Tensor] = field(default_factory=list)

    @staticmethod
    def at_start(
        values: Sequence[Tensor], averaged: bool = False, second_moments: Sequence[float] = (0.0,)
    ) -> Moments:
        """The moments before the first step: 0, the second those of each run, or one for all.

        `averaged`: with averages of the values.
        """
        first, second = ([torch.zeros_like(v) for v in values] for _ in range(2))
        for moment in second:
            moment += moment.new_tensor(second_moments).view(-1, *[1] * (moment.dim() - 1))
        averages = [v.clone() for v in values] if averaged else []
        return Moments(first, second, torch.zeros((), device=values[0].device), averages)

    def of(self, runs: Sequence[int]) -> Moments:
        """The moments of some runs of the stack, copied."""
        kinds = (self.first, self.second, self.averages)
        first, second, averages = ([t[list(runs)] for t in kind] for kind in kinds)
        return Moments(first, second, self.count.clone(), averages)


@dataclass(frozen=True)
class Group:
    """Neighbouring runs with the same scalars: views of their parameters and moments."""

    runs: slice
    scalars: AdamScalars
    parameters: list[Tensor]
    first: list[Tensor]
    second: list[Tensor]
    averages: list[Tensor]

    def of(self, chosen: tuple[int, ...]) -> tuple[list[Tensor], ...]:
        """Parameters, moments and averages of the chosen numbers; mostly they are all."""
        kinds = self.parameters, self.first, self.second, self.averages
        if len(chosen) == len(self.parameters):
            return kinds
        return tuple([kind[i] for i in chosen] if kind else [] for kind in kinds)


class MoveGroups:
    """Moves all runs that share their scalars at once."""

    def __init__(self, values: Sequence[Tensor], moments: Moments) -> None:
        self.count = moments.count
        self.kinds = values, moments.first, moments.second, moments.averages
        self.scalars: Sequence[AdamScalars] = ()

    def __call__(self, gradients: Sequence[Tensor | None], scalars: Sequence[AdamScalars]) -> None:
        """Move by the gradients of all parameters, None where there is none, and the scalars of
        each run."""
        if scalars is not self.scalars:
            self.scalars, self.groups = scalars, self._grouped(scalars)
        have = tuple(i for i, g in enumerate(gradients) if g is not None)
        present = [g for g in gradients if g is not None]
        self.count.add_(1)
        for group in self.groups:
            parameters, first, second, averages = group.of(have)
            of_group = present if len(self.groups) == 1 else [g[group.runs] for g in present]
            fused_adam(parameters, of_group, Moments(first, second, self.count), group.scalars)
            if averages:
                torch._foreach_lerp_(averages, parameters, 1.0 - group.scalars.ema)

    def _grouped(self, scalars: Sequence[AdamScalars]) -> list[Group]:
        ends = list(itertools.accumulate(len(list(g)) for _, g in itertools.groupby(scalars)))
        spans = [slice(a, b) for a, b in zip([0, *ends], ends, strict=False)]
        return [
            Group(runs, scalars[runs.start], *([t[runs] for t in kind] for kind in self.kinds))
            for runs in spans
        ]


def fused_adam(
    parameters: list[Tensor], gradients: list[Tensor], moments: Moments, scalars: AdamScalars
) -> None:
    """What torch.optim.AdamW(fused=True) calls, without the 50 us on the way, and without Dynamo,
    whose import takes 1.6 s. The moments' count is that of this step."""
    torch._fused_adamw_(
        parameters,
        gradients,
        moments.first,
        moments.second,
        [],
        [moments.count] * len(parameters),
        lr=scalars.learning_rate,
        beta1=scalars.beta1,
        beta2=scalars.beta2,
        weight_decay=scalars.weight_decay,
        eps=scalars.epsilon,
        amsgrad=False,
        maximize=False,
    )
