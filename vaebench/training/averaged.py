"""Moving averages of weights, by which a stack is graded."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from vaebench.config import RunConfig
from vaebench.config.build import streams
from vaebench.data import Dataset
from vaebench.models import VAE, select
from vaebench.models.networks.normalised import StackedBatchNorm
from vaebench.training.minibatches import batches
from vaebench.training.progress import Progress
from vaebench.training.scalars import scalars
from vaebench.training.step import loss_of

NUM_MINIBATCHES = 8
"""Minibatches by whose mean and variance a batch-normalised network of averaged weights is
normalised."""


def graded(model: VAE, progress: Progress, configs: Sequence[RunConfig], dataset: Dataset) -> VAE:
    """The model by whose weights a stack is graded as it is now: a copy with their averages, where
    they are averaged, else the model itself.

    Running means and variances of batch normalisations are those of the averages.
    """
    averages = progress.moments.averages if progress.moments else []
    if not averages:
        return model
    averaged = select(model, range(model.num_runs))
    for parameter, average in zip(averaged.parameters(), averages, strict=True):
        parameter.data.copy_(average)
    if any(config.train.ema for config in configs) and _running(averaged):
        _renew(averaged, progress.index, configs, dataset)
    return averaged


@torch.no_grad()
def _renew(model: VAE, index: int, configs: Sequence[RunConfig], dataset: Dataset) -> None:
    """Set the running means and variances of averaged runs to those of the weights as they are:
    averages over some passes of training steps, as by torch.optim.swa_utils.update_bn.

    The scalars are those of the last of the `index` steps that were taken.
    """
    before = [(buffer, buffer.clone()) for buffer in model.buffers()]
    loss, of_step = loss_of(configs[0], dataset), scalars(configs, model.like)(index - 1)
    noise = streams(configs, "renew")
    for i, x in enumerate(_minibatches(configs, dataset, model.like)):
        for layer in _normalisations(model):
            layer.momentum = 1.0 / (i + 1)
        terms = loss.terms(model, x, noise.at(step=i), of_step)
        _ = terms.kl_or_estimate  # by which p(z) passes through its networks
    renewed = {id(tensor) for tensor in _running(model)}
    not_averaged = [run for run, config in enumerate(configs) if not config.train.ema]
    for buffer, value in before:
        runs = not_averaged if id(buffer) in renewed else slice(None)
        buffer[runs] = value[runs]


def _minibatches(configs: Sequence[RunConfig], dataset: Dataset, place: Tensor) -> Iterator[Tensor]:
    """The first minibatches of the runs, as they go through the networks: [S, B, P] each."""
    num_parts = configs[0].train.accumulate
    of_steps = (step.microbatches(0, num_parts) for step in batches(configs, dataset, place))
    return itertools.islice(itertools.chain.from_iterable(of_steps), NUM_MINIBATCHES)


def _normalisations(model: nn.Module) -> list[StackedBatchNorm | _NormBase]:
    """The layers of a model that keep a running mean and variance."""
    layers = (m for m in model.modules() if isinstance(m, StackedBatchNorm | _NormBase))
    return [layer for layer in layers if layer.running_mean is not None]


def _running(model: nn.Module) -> list[Tensor]:
    """The running means and variances of a model: [S, ...] each."""
    layers = _normalisations(model)
    return [layer.get_buffer(name) for layer in layers for name in ("running_mean", "running_var")]
