"""Recorded runs as models again: which run is meant, its configuration and its weights."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from vaebench import results
from vaebench.config import RunConfig, convert
from vaebench.config.build import build_stack, load_data
from vaebench.core.arguments import path
from vaebench.core.errors import InputError
from vaebench.core.plugins import load_plugins
from vaebench.models import VAE
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.models.priors import PRIORS
from vaebench.results import Record
from vaebench.running.environment import default_device
from vaebench.running.trained import TrainedModel

NUM_NAMED = 5
"""Runs that a message names, at most, where several are meant."""


def load_model(
    folder: str | Path, run: str | Sequence[str], *, plugins: Sequence[str] = ()
) -> TrainedModel:
    """The trained model of one run of a results folder.

    `run`: its id, the beginning of it, or conditions that hold of it alone, in the words of
    `vaebench runs`: "objective=iwae seed=0", or a list of them. `plugins`: files of your own that
    it was made with. Raises InputError where there is no such run, or several, and where it has no
    weights.
    """
    plugins = load_plugins(plugins)
    home = path("a results folder", folder)
    record = _recorded_run(home, run)
    try:
        config = configured(home, record)
    except InputError as error:
        if not record.config.get("plugin") or plugins:
            raise
        raise InputError(
            f"run {record.run} was made with files of your own, which must be given again as "
            f"plugins=['FILE.py']: {error}"
        ) from error
    model = restored(home, [record], [config]).requires_grad_(False)
    return TrainedModel(record.run, config, model, load_data(config.data))


def _recorded_run(folder: Path, run: str | Sequence[str]) -> Record:
    """The one finished run that is meant, as `load_model` takes it. Raises InputError."""
    texts = _texts(run)
    described = " ".join(texts)
    chosen = _by_conditions(folder, texts) if _is_condition(described) else _by_id(folder, texts)
    if not chosen:
        raise InputError(
            f"no finished run {described!r} in {folder}; `vaebench runs {folder}` lists what there "
            f"is"
        )
    if len(chosen) > 1:
        raise InputError(f"{described!r} is each of {_named(folder, chosen)}: say which")
    record = results.read(folder, chosen[0])
    if not record.config:
        raise InputError(
            f"{record.run} is a model from elsewhere, of which no weights are recorded: load it "
            f"where it was trained"
        )
    return record


def _texts(run: str | Sequence[str]) -> list[str]:
    """What a run is named by, one text for each condition. Raises InputError for no text."""
    if not isinstance(run, str) and not (
        isinstance(run, Sequence) and run and all(isinstance(text, str) for text in run)
    ):
        raise InputError(
            f"a run must be named by its id, the beginning of it, or conditions, as 'seed=3'; got "
            f"{run!r}"
        )
    words = run.split() if isinstance(run, str) else list(run)
    several = all(map(_is_condition, words))
    return [run] if isinstance(run, str) and not several else words


def _is_condition(text: str) -> bool:
    return bool(set(text) & set("=<>!"))


def _by_id(folder: Path, beginnings: Sequence[str]) -> list[str]:
    statuses = results.recorded(folder).items()
    done = [run for run, status in statuses if status == "done"]
    return [run for run in done if run.startswith(tuple(beginnings))]


def _by_conditions(folder: Path, texts: Sequence[str]) -> list[str]:
    wanted = results.conditions([*texts, "status=done"])
    return list(results.selected(folder, wanted)["run"])


def _named(folder: Path, chosen: Sequence[str]) -> str:
    """Some runs by id, variant and seed."""
    records = [results.read(folder, run) for run in chosen[:NUM_NAMED]]
    words = [f"{r.run} ({r.labels.variant}, seed {r.labels.seed})" for r in records]
    more = len(chosen) - len(words)
    return ", ".join(words) + (f" and {more} more" if more else "")


def configured(folder: Path, record: Record) -> RunConfig:
    """A run's configuration, once its weights are known to fit it and to be finite.

    Raises InputError where weights or data are missing, or damaged.
    """
    config: RunConfig = convert(record.config, RunConfig)
    expected = _shapes(config)
    weights = _weights(folder, record)
    if {name: tuple(w.shape) for name, w in weights.items()} != expected:
        raise InputError(
            f"the weights of {record.run} must have the shapes of its configuration; they are "
            f"another model's: delete its record and run it again"
        )
    if not all(w.isfinite().all() for w in weights.values()):
        raise InputError(
            f"the weights of {record.run} must be finite; they are not: delete its record and "
            f"run it again"
        )
    return config


def restored(folder: Path, records: Sequence[Record], configs: Sequence[RunConfig]) -> VAE:
    """The stack of these runs with their recorded weights, where models are by default."""
    model = _untrained(configs).to(default_device())
    weights = [_weights(folder, record) for record in records]
    model.load_state_dict({name: torch.cat([w[name] for w in weights]) for name in weights[0]})
    return model


def _shapes(config: RunConfig) -> dict[str, tuple[int, ...]]:
    """The shapes of a run's weights, by name. Raises InputError where no model can be made."""
    for registry, choice in ((LIKELIHOODS, config.likelihood), (PRIORS, config.prior)):
        if missing := registry[choice.name].hyper.keys() - choice.hyper.keys():
            raise InputError(f"its {choice.name!r} must have {', '.join(sorted(missing))}")
    try:
        return {name: tuple(w.shape) for name, w in _untrained([config]).state_dict().items()}
    except InputError:
        raise
    except Exception as error:  # a damaged configuration may make the model raise anything
        raise InputError(f"no model can be made of its configuration: {error!r}") from error


def _untrained(configs: Sequence[RunConfig]) -> VAE:
    """A model of these runs, to which weights are to be loaded."""
    dataset = load_data(configs[0].data)
    return build_stack(configs, dataset.image_shape, dataset.log_volume)


def _weights(folder: Path, record: Record) -> dict[str, Tensor]:
    """The recorded weights of a run, by name. Raises InputError where the file is damaged."""
    content = results.read_weights(folder, record)
    try:
        loaded = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
        return {str(name): weights.detach() for name, weights in loaded.items()}
    except Exception as error:  # torch has no list of what a damaged file makes it raise
        raise InputError(
            f"the weights file of {record.run} is damaged: delete its record and run it again"
        ) from error
