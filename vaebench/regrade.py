"""Recorded runs graded again from their weights, with more samples or by other gradings."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor

from vaebench import results
from vaebench.config import RunConfig, convert, evaluation_settings
from vaebench.data import Dataset
from vaebench.environment import default_device
from vaebench.errors import InputError, near_match
from vaebench.evaluation import Subject, budget, evaluate
from vaebench.initial import build_stack
from vaebench.models import VAE
from vaebench.results import Record
from vaebench.stack import load_data, subject
from vaebench.stacking import stacks


@dataclass(frozen=True)
class Request:
    """Which runs of a folder to grade, and how, where not as they were."""

    folder: Path
    runs: Sequence[str] = ()
    """Their ids; all that are done where there are none."""
    num_samples: int | None = None
    gradings: Sequence[Any] = ()
    """As in a study: names, or tables with scalars. Those of the runs where there are none."""


def regrade(request: Request, *, keep: bool = False) -> list[dict[str, Any]]:
    """A row per run and metric. `keep`: the figures go into the records, beside the others.

    Raises InputError for a run that is not there or has no weights, for data that changed, and
    where figures of another K would be kept: K is part of what a record is compared by.
    """
    if keep and request.num_samples is not None:
        raise InputError(
            "figures are kept at the K of their run alone, as runs are compared at one K: "
            "leave out --samples or --keep"
        )
    rows = []
    for records, configs in _stacks(_wanted(request)):
        evaluation = evaluate(*_graded(request, records, configs))
        for i, record in enumerate(records):
            metrics = results.metrics(evaluation.grades, i)
            rows += [_row(record, metric) for metric in metrics]
            if keep:
                parts = results.parts(evaluation.grades, i)
                results.add(request.folder, record, metrics, parts)
    return rows


def foretell(request: Request) -> list[dict[str, Any]]:
    """How long each grading of the request will take, over all its runs: rows."""
    seconds: dict[str, float] = {}
    for records, configs in _stacks(_wanted(request)):
        for name, value in budget(*_graded(request, records, configs)).items():
            seconds[name] = seconds.get(name, 0.0) + value
    return [{"grading": name, "seconds": value} for name, value in seconds.items()]


def _wanted(request: Request) -> list[Record]:
    """The records to grade. Raises InputError."""
    folder = request.folder
    done = {r.run: r for r in results.records(folder) if r.status == "done"}
    for run in request.runs:
        if run not in done:
            raise InputError(f"no finished run {run!r} in {folder}; {near_match(run, done)}")
        if not done[run].config:
            raise InputError(
                f"{run!r} is a model from elsewhere, of which no weights are recorded: evaluate "
                f"its file"
            )
    trained = {run: record for run, record in done.items() if record.config}
    if not trained:
        raise InputError(f"{folder} must hold finished runs; it has none: run a study first")
    return [trained[run] for run in request.runs or trained]


def _stacks(records: Sequence[Record]) -> Iterator[tuple[list[Record], list[RunConfig]]]:
    """Records that are graded side by side. Files have the record's own name for the run: that of
    its configuration changes when settings are added."""
    by_id = {}
    for record in records:
        config = convert(record.config, RunConfig)
        by_id[config.id] = record, config
    for configs in stacks([config for _, config in by_id.values()]):
        yield [by_id[config.id][0] for config in configs], configs


def _graded(
    request: Request, records: Sequence[Record], configs: Sequence[RunConfig]
) -> tuple[Subject, Mapping[str, Mapping[str, float]]]:
    """A stack with its recorded weights, and the gradings that are asked for."""
    dataset, old = load_data(configs[0].data), configs[0].evaluate
    changes: dict[str, Any] = {"gradings": request.gradings} if request.gradings else {}
    if request.num_samples is not None:
        changes["num_samples"] = request.num_samples
    settings = evaluation_settings(msgspec.to_builtins(old) | changes)
    graded = subject(_loaded(request.folder, records, configs, dataset), dataset, configs)
    return replace(graded, num_samples=settings.num_samples), settings.wanted


def _row(record: Record, metric: results.Metric) -> dict[str, Any]:
    labels = record.labels
    return {
        "run": record.run,
        "variant": labels.variant,
        "likelihood": labels.likelihood,
        "seed": labels.seed,
        "study": record.study,
        **msgspec.structs.asdict(metric),
    }


def _loaded(
    out: Path, records: Sequence[Record], configs: Sequence[RunConfig], dataset: Dataset
) -> VAE:
    """The stack of these runs with the weights that were recorded."""
    model = build_stack(configs, dataset.image_shape, dataset.log_volume).to(default_device())
    weights = [_weights(out / "weights" / f"{record.run}.pt") for record in records]
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
