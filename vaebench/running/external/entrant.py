"""A model trained elsewhere, with all that decides its grades; what it names is looked up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch.distributions import Distribution as TorchDistribution

from vaebench.config import (
    Choice,
    DataConfig,
    EvaluateConfig,
    chosen,
    convert,
    digest,
    evaluation_settings,
    flat,
    observation_space,
)
from vaebench.config.build import check_support, load_data
from vaebench.core.errors import InputError, first_line
from vaebench.core.sources import load_file
from vaebench.data import Dataset
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.models.priors import PRIORS
from vaebench.results import Labels
from vaebench.running.external.model import Decode, Encode


@dataclass(frozen=True)
class Entrant:
    """A model from elsewhere with all that decides its grades.

    `encode`: images [B, P] -> mean and log-variance of q(z|x), [B, D] each, or a Normal over z.
    `decode`: codes [n, D] -> what the likelihood takes: logits [n, P] for Bernoulli, means for
    Gaussian, all that `vaebench list likelihoods` says. The P pixels are the axes of a stored image
    in row-major order: `x.reshape(-1, *image_shape)` is as the data set's file has it. Both must
    be fit to be evaluated: no dropout, no batch statistics. `likelihood`, `data` and `prior` are
    names, or tables as in a study; the data may also be the path of an .npz file or a DataConfig,
    and the prior a torch.distributions object. `evaluate`: the table of a study.
    """

    encode: Encode
    decode: Decode
    likelihood: str | Mapping[str, Any]
    data: str | Path | Mapping[str, Any] | DataConfig
    prior: str | Mapping[str, Any] | TorchDistribution = "standard_normal"
    name: str = "given"
    """The name by which tables show it."""
    seed: int = 0
    """The seed it was trained with, for comparisons by seed; the evaluation draws with it too."""
    evaluate: Mapping[str, Any] = field(default_factory=dict)
    device: str = "cpu"


@dataclass(frozen=True)
class Entered:
    """An entrant whose names of likelihood, prior and data have been looked up."""

    entrant: Entrant
    likelihood: Choice
    prior: Choice | TorchDistribution
    data: DataConfig
    settings: EvaluateConfig
    dataset: Dataset

    @property
    def labels(self) -> Labels:
        """What tables show of it: data, likelihood, name, settings and seed."""
        measure = LIKELIHOODS[self.likelihood.name].measure
        settings = flat(evaluate=self.settings)
        return Labels(
            dataset=self.data.label,
            likelihood=str(self.likelihood),
            objective="given",
            hyper="{}",
            variant=self.entrant.name,
            num_samples=1,
            observation_space=observation_space(self.data, measure, self.settings.num_samples),
            settings=" ".join(f"{name}={value}" for name, value in settings.items()),
            seed=self.entrant.seed,
        )

    def id(self, mark: str) -> str:
        """The id of its record: a hash of the labels and of a mark of the model.

        So the same model is recorded once, and another one of its name and seed never replaces it.
        """
        return digest(msgspec.to_builtins(self.labels) | {"mark": mark})


def read(path: Path, **evaluate: Any) -> Entrant:
    """The model that a Python file defines by the names of the fields of `Entrant`; it is named as
    the file is where it gives no name.

    `evaluate`: settings that go before those of the file. Raises InputError.
    """
    module = load_file(str(path))
    names = [f.name for f in fields(Entrant)]
    values = {"name": path.stem} | {n: getattr(module, n) for n in names if hasattr(module, n)}
    for name in ("encode", "decode", "likelihood", "data"):
        if name not in values:
            raise InputError(f"{path} must define {name}, as vb.evaluate takes it; it does not")
    return Entrant(**values | {"evaluate": dict(values.get("evaluate", {})) | evaluate})


def enter(entrant: Entrant) -> Entered:
    """Look up what the entrant names, and check its data. Raises InputError."""
    _check_fields(entrant)
    data = convert(_data_table(entrant.data), DataConfig)
    dataset = load_data(data)
    likelihood = chosen(LIKELIHOODS, entrant.likelihood)
    check_support(dataset, likelihood.name)
    prior = entrant.prior
    return Entered(
        entrant,
        likelihood,
        prior if isinstance(prior, TorchDistribution) else chosen(PRIORS, prior),
        msgspec.structs.replace(data, fingerprint=dataset.fingerprint),
        evaluation_settings(entrant.evaluate),
        dataset,
    )


def _check_fields(entrant: Entrant) -> None:
    if not (isinstance(entrant.name, str) and entrant.name):
        raise InputError(f"name must be a word; got {entrant.name!r}")
    is_whole = isinstance(entrant.seed, int) and not isinstance(entrant.seed, bool)
    if not (is_whole and 0 <= entrant.seed < 2**63):
        raise InputError(f"seed must be a whole number from 0 to 2**63 - 1; got {entrant.seed!r}")
    if not isinstance(entrant.device, str):
        raise InputError(f"device must be a word, as 'cpu'; got {entrant.device!r}")
    try:
        torch.empty(0, device=entrant.device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"device must be there; got {entrant.device!r}: {first_line(error)}"
        ) from error


def _data_table(data: str | Path | Mapping[str, Any] | DataConfig) -> dict[str, Any]:
    """A data set's table, as in a study. Raises InputError for images themselves."""
    match data:
        case str() | Path():
            return {"name": str(data)}
        case DataConfig():
            return dict(msgspec.to_builtins(data))
        case Mapping() if not any(str(key).startswith("x_") for key in data):
            return {key: str(v) if isinstance(v, Path) else v for key, v in data.items()}
    raise InputError(
        f"data must be a name, the path of an .npz file, a table as in a study or a DataConfig; "
        f"got {type(data).__name__}: write vb.dataset(x_train, x_test)"
    )
