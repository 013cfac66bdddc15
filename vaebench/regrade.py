"""Recorded runs graded again from their weights, with another number of samples."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor

from vaebench import results
from vaebench.config import RunConfig, convert
from vaebench.data import Dataset
from vaebench.environment import default_device
from vaebench.errors import InputError, near_match
from vaebench.evaluate import evaluate
from vaebench.initial import build_stack
from vaebench.models import VAE
from vaebench.results import Record
from vaebench.stack import load_data, subject
from vaebench.stacking import stacks


def regrade(
    out: Path, runs: Sequence[str] = (), num_samples: int | None = None
) -> list[dict[str, Any]]:
    """The shared evaluation of the given runs of a results folder, or of all that are done, with K
    samples: a row per run and metric.

    Raises InputError for a run that is not there or has no weights, and for data that changed.
    """
    if num_samples is not None and num_samples < 1:
        raise InputError(f"there must be at least one sample; got {num_samples}")
    done = {record.run: record for record in results.records(out) if record.status == "done"}
    for run in runs:
        if run not in done:
            raise InputError(f"no finished run {run!r} in {out}; {near_match(run, done)}")
    if not done:
        raise InputError(f"{out} must hold finished runs; it has none: run a study first")
    configs = [convert(done[run].config, RunConfig) for run in runs or done]
    return [row for stack in stacks(configs) for row in _graded(out, stack, done, num_samples)]


def _graded(
    out: Path, configs: Sequence[RunConfig], done: dict[str, Record], num_samples: int | None
) -> list[dict[str, Any]]:
    dataset = load_data(configs[0].data)
    graded = subject(_loaded(out, configs, dataset), dataset, configs)
    evaluation = evaluate(
        replace(graded, num_samples=num_samples or graded.num_samples), configs[0].evaluate.wanted
    )
    return [
        {
            "run": config.id,
            "variant": config.variant,
            "likelihood": str(config.likelihood),
            "seed": config.seed,
            "study": done[config.id].study,
            **msgspec.structs.asdict(found),
        }
        for i, config in enumerate(configs)
        for found in results.metrics(evaluation.grades, i)
    ]


def _loaded(out: Path, configs: Sequence[RunConfig], dataset: Dataset) -> VAE:
    """The stack of these runs with the weights that were recorded."""
    model = build_stack(configs, dataset.image_shape, dataset.log_volume).to(default_device())
    weights = [_weights(out / "weights" / f"{config.id}.pt") for config in configs]
    model.load_state_dict({name: torch.cat([w[name] for w in weights]) for name in weights[0]})
    return model


def _weights(path: Path) -> dict[str, Tensor]:
    if not path.exists():
        raise InputError(f"{path} must hold the run's weights; delete its record and run it again")
    try:
        loaded: dict[str, Tensor] = torch.load(path, weights_only=True, map_location="cpu")
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise InputError(f"{path} is damaged: delete its run's record and run it again") from error
    return loaded
