"""vaebench's own loop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.peers.work import LEARNING_RATE, Check, Prepared, Weights, Work
from vaebench.config import RunConfig, parse
from vaebench.config.axes import laid_over
from vaebench.config.build import build_stack, load_data, streams
from vaebench.core.plugins import load_plugins
from vaebench.data import Dataset
from vaebench.models import VAE
from vaebench.ops import densities
from vaebench.ops.recorded_draws import Replay
from vaebench.training.descent import gradient_norms
from vaebench.training.loop import training_steps
from vaebench.training.scalars import scalars
from vaebench.training.step import MakeBlocks, loss_of
from vaebench.training.stepping.ways import always, never

ENDLESS = 10_000_000
LAYERS = {
    "encode": "encoder.0",
    "posterior": "encoder.2",
    "decode": "decoder.0",
    "logits": "decoder.2",
}


def eager(work: Work) -> Prepared:
    """S runs stacked: `training_steps`, operation by operation, batches and noise included."""
    return _stack(work, never())


def compiled(work: Work) -> Prepared:
    """S runs: `training_steps`, compiled blocks run after run, batches and noise included."""
    return _stack(work, always())


def _stack(work: Work, make_blocks: MakeBlocks) -> Prepared:
    configs = [config_of(work, work.seed + run) for run in range(work.num_runs)]
    dataset = load_data(configs[0].data)
    model = build_stack(configs, dataset.image_shape)
    _put(model, work.start())
    steps = training_steps(model, configs, dataset, make_blocks, at_once=work.size.block)
    values = {name: p.detach().numpy() for name, p in model.named_parameters()}

    def train(num_steps: int) -> None:
        while num_steps > 0:
            num_steps -= len(next(steps).losses)
        assert num_steps == 0, "asked for whole blocks, steps come in whole blocks"

    def weights() -> Weights:
        return {
            layer: (values[f"{name}.weight"], values[f"{name}.bias"][:, 0])
            for layer, name in LAYERS.items()
        }

    return Prepared(train, weights, partial(_check, work, configs[0], dataset, model))


def start(work: Work) -> dict[str, NDArray[np.float32]]:
    """The weights that runs start from in vaebench, by its names: [S, ...]."""
    configs = [config_of(work, work.seed + run) for run in range(work.num_runs)]
    model = build_stack(configs, work.size.image_shape)
    return {name: p.detach().numpy() for name, p in model.named_parameters()}


def _put(model: VAE, weights: Mapping[str, NDArray[np.float32]]) -> None:
    """Start from these weights, where there are any, by name."""
    parameters = dict(model.named_parameters())
    for name, values in weights.items():
        parameters[name].data.copy_(torch.from_numpy(values))


def _check(work: Work, config: RunConfig, dataset: Dataset, model: VAE) -> Check:
    """Loss and gradient norm of the first run, by the formulas of `densities`."""
    x, eps = (torch.from_numpy(values)[None] for values in work.check_inputs())
    alone = model.of_run(0)
    loss = loss_of(config, dataset)
    here = scalars([config], alone.like)(0)
    noise = replace(streams([config], "train"), source=Replay(iter([eps.transpose(0, 1)])))
    value = loss.objective(
        loss.terms(alone, x, noise, here, operations=densities), **here.objective
    )
    value.mean().backward()
    return value.mean().item(), float(gradient_norms(alone))


def config_of(work: Work, seed: int) -> RunConfig:
    """A run of the work as vaebench has it."""
    size = work.size
    load_plugins([str(size.plugin)] if size.plugin else [])
    plain = {
        "objective": "elbo",
        "likelihood": "bernoulli",
        "data": {"name": str(work.data), "binarisation": "static"},
        "model": {"latent_dim": size.latent, "widths": [size.hidden]},
        "num_samples": size.num_samples,
        "train": {
            "num_steps": ENDLESS,
            "batch_size": size.batch,
            "learning_rate": LEARNING_RATE,
        },
        "seed": seed,
    }
    return parse(laid_over(plain, size.configuration))
