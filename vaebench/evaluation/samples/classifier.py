"""A small classifier of a data set's labels, whose last hidden layer gives features."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from vaebench.data import Dataset, Part
from vaebench.evaluation.samples.features import Extractor, digest
from vaebench.ops.adam import AdamScalars, Moments, fused_adam

WIDTHS = 128, 32
NUM_STEPS, BATCH_SIZE = 500, 128
LEARNING_RATE = 2e-3
ERRORS = 2.0
"""How many standard errors the accuracy must be above that of guessing."""
GRID = 2.0**-10
"""Weights are rounded to this grid, which removes the effect of the order of summation, 1e-14."""


def classifier(dataset: Dataset) -> Extractor:
    """The last hidden layer, before its ReLU, of an MLP trained from seed 0 on training data.

    In float64, and with weights on a grid: the same features, and the same fingerprint, whatever
    the number of threads, and on another machine.
    """
    return _extractor(dataset, _trained(dataset.train))


def classifier_that_learned(dataset: Dataset) -> tuple[Extractor | None, str]:
    """The classifier's features, or why they are of no use.

    It must name more held-out images rightly than always naming their most frequent label would,
    by two standard errors: no network learns features from one class, from a class
    for each image or from labels by chance. The first of test, validation and training part is
    asked that has labels of two classes or more.
    """
    train = dataset.train
    if train.y is None:
        return None, ""
    if not _has_classes(train):
        return None, "all training labels are one"
    weights = _trained(train)
    parts = (dataset.test, dataset.valid, train)
    if _beats_guessing(next(part for part in parts if _has_classes(part)), weights):
        return _extractor(dataset, weights), ""
    return None, "a classifier of the labels is no better than guessing"


def _extractor(dataset: Dataset, weights: list[Tensor]) -> Extractor:
    sizes = "-".join(map(str, (dataset.num_pixels, *WIDTHS)))
    return Extractor(
        lambda x: _hidden(x, weights),
        f"classifier {sizes}, {_accuracy(dataset.test, weights)}",
        digest(*weights),
    )


def _has_classes(part: Part) -> bool:
    return part.y is not None and len(part.y.unique()) > 1


def _beats_guessing(part: Part, weights: list[Tensor]) -> bool:
    assert part.y is not None, "of a labelled part"
    num, right = len(part.y), float(_right(part, weights).double().mean())
    guessing = float(part.y.bincount().max()) / num
    return right > guessing + ERRORS * (guessing * (1.0 - guessing) / num) ** 0.5


def _right(part: Part, weights: list[Tensor]) -> Tensor:
    """Which images the classifier gives their label: bool [N]."""
    assert part.y is not None, "of a labelled part"
    named = (_logits(x, weights).argmax(-1) for x in part.images.chunks())
    return torch.cat(list(named)).eq(part.y)


def _hidden(x: Tensor, weights: list[Tensor]) -> Tensor:
    return F.linear(F.relu(F.linear(x.double(), *weights[:2])), *weights[2:4])


def _logits(x: Tensor, weights: list[Tensor]) -> Tensor:
    return F.linear(F.relu(_hidden(x, weights)), *weights[4:])


def _accuracy(test: Part, weights: list[Tensor]) -> str:
    if test.y is None:
        return "no test labels"
    return f"test accuracy {float(_right(test, weights).double().mean()):.3f}"


def _trained(train: Part) -> list[Tensor]:
    """Weights and biases of the three layers."""
    assert train.y is not None, "refused before"
    generator = torch.Generator().manual_seed(0)
    sizes = train.images.num_pixels, *WIDTHS, int(train.y.max()) + 1
    weights = [w for i in range(3) for w in _initial(sizes[i], sizes[i + 1], generator)]
    moments = Moments.at_start(weights)
    for _ in range(NUM_STEPS):
        rows = torch.randint(len(train), (BATCH_SIZE,), generator=generator)
        gradients = _gradients(train.images[rows], train.y[rows], weights)
        moments.count.add_(1)
        fused_adam(weights, gradients, moments, AdamScalars(LEARNING_RATE))
    return [(w / GRID).round() * GRID for w in weights]


def _initial(num_inputs: int, num_outputs: int, generator: torch.Generator) -> list[Tensor]:
    """Weights and biases of a layer, uniform within 1 / sqrt(inputs)."""
    bound = num_inputs**-0.5
    shapes = (num_outputs, num_inputs), (num_outputs,)
    empty = (torch.empty(shape, dtype=torch.float64) for shape in shapes)
    return [w.uniform_(-bound, bound, generator=generator) for w in empty]


@torch.enable_grad()
def _gradients(x: Tensor, y: Tensor, weights: list[Tensor]) -> list[Tensor]:
    leaves = [w.detach().requires_grad_() for w in weights]
    return list(torch.autograd.grad(F.cross_entropy(_logits(x, leaves), y), leaves))
