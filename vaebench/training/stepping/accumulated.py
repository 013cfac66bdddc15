"""Steps in parts: the gradients of several microbatches, one after another, averaged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from vaebench.ops.noise import Noise
from vaebench.training.scalars import Scalars
from vaebench.training.step import Averages, Taken, TakeStep, averages


def accumulated(
    take: TakeStep,
    parts: Iterator[Tensor],
    noise: Noise,
    scalars: Scalars,
    parameters: Sequence[Tensor],
) -> Taken:
    """Take a step in parts [S, B, P]: its loss and its gradients are the means of theirs.

    Each example draws the numbers that it draws in one minibatch of all parts.
    """
    taken: list[Taken] = []
    sums: list[Tensor | None] = [None] * len(parameters)
    for part in parts:
        row = noise.first_row + len(taken) * part.shape[1]
        of_part = take(part, noise.at(row=row), scalars)
        taken.append(of_part._replace(measured=averages(of_part.measured)))
        sums = [_sum(total, p.grad) for total, p in zip(sums, parameters, strict=True)]
    for parameter, total in zip(parameters, sums, strict=True):
        parameter.grad = None if total is None else total.div_(len(taken))
    measured = Averages(
        torch.cat([of_part.measured.kl_or_estimate for of_part in taken], -1),
        torch.cat([of_part.measured.distortion for of_part in taken], -1),
    )
    loss = torch.stack([of_part.loss for of_part in taken]).mean(0)
    return Taken(loss, measured, taken[-1].state)


def _sum(total: Tensor | None, gradient: Tensor | None) -> Tensor | None:
    if total is None or gradient is None:
        return gradient if total is None else total
    return total.add_(gradient)
