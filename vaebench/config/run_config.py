"""RunConfig: everything that decides a run's numbers; the hash of its canonical JSON is its id."""

from __future__ import annotations

import functools
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, field

from vaebench.config.compatibility import EVERYTHING
from vaebench.config.sections import (
    LARGEST,
    Choice,
    Counted,
    DataConfig,
    EvaluateConfig,
    ModelConfig,
    TrainConfig,
    digest,
    flat,
    text,
)
from vaebench.core.user_code import is_users
from vaebench.models import MODELS
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.objectives import OBJECTIVES

PROTOCOL = 3
"""Raised when the same configuration would give other numbers, so that old records do not pass."""


class RunConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """One run. Frozen and complete: what is not here does not change its numbers."""

    objective: Choice
    likelihood: Choice
    posterior: Choice = Choice("diagonal_gaussian")
    prior: Choice = Choice("standard_normal")
    num_samples: Counted = 1
    """K posterior samples per example in training."""
    rate_weight: float | Choice | tuple[float | Choice, ...] = 1.0
    """The warm-up: a weight on the rate, usually a schedule, that any objective can be given; of
    several layers of latents one weight for each, that beside the images first."""
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    seed: Annotated[int, Meta(ge=0, le=LARGEST)] = 0
    plugin: str = ""
    """Fingerprint of the user's files that define functions of the run; filled in when a study is
    read."""

    @functools.cached_property
    def id(self) -> str:
        """16 hex digits of the hash of the canonical JSON; a data set counts by name and bytes."""
        identity = msgspec.to_builtins(self) | {"protocol": PROTOCOL}
        identity["data"] = self.data.identity
        identity["train"] = _train_identity(self.train)
        identity["model"] = _model_identity(self.model)
        return digest(identity)

    @property
    def variant(self) -> str:
        """The name of what is compared: objective, hyperparameters, K and warm-up.

        Posterior and prior are named where they are not the usual ones.
        """
        samples = f" K={self.num_samples}" if self.num_samples > 1 else ""
        warm_up = "" if self.rate_weight == 1.0 else f", rate weight {_text(self.rate_weights)}"
        family = "".join(
            f", {choice}"
            for choice, usual in zip((self.posterior, self.prior), EVERYTHING, strict=True)
            if choice.name != usual
        )
        return f"{self.objective}{samples}{warm_up}{family}"

    @property
    def layer_weights(self) -> tuple[float | Choice, ...]:
        """The weights on the rate of each layer of latents; none where there is one for all."""
        return self.rate_weight if isinstance(self.rate_weight, tuple) else ()

    @property
    def rate_weights(self) -> tuple[float | Choice, ...]:
        """The weight on the rate, or those of layers."""
        return self.rate_weight if isinstance(self.rate_weight, tuple) else (self.rate_weight,)

    @property
    def evaluations_per_step(self) -> int:
        """Decoder evaluations of a training step: samples x examples."""
        return self.num_samples * self.train.examples_per_step

    @property
    def settings(self) -> dict[str, str]:
        """The settings that decide the numbers beside variant, likelihood, data and seed."""
        # Without what earlier records do not have.
        model = msgspec.structs.replace(self.model, hyper=_decisive(self.model))
        settings = flat(model=model, train=self.train, evaluate=self.evaluate)
        for section, fields in (("train", self.train), ("model", self.model)):
            for name in fields.left_out:
                del settings[f"{section}.{name}"]
        if not MODELS[self.model.name].takes_widths:  # its sizes are hyperparameters
            del settings["model.widths"]
        return settings | ({"plugin": self.plugin} if self.plugin else {})

    @property
    def observation_space(self) -> str:
        """A word that runs share where they can be ranked against each other."""
        measure = LIKELIHOODS[self.likelihood.name].measure
        return observation_space(self.data, measure, self.evaluate.num_samples)

    @functools.cached_property
    def stack_key(self) -> str:
        """A hash that runs share where they differ only in seed and scalars, so can be stacked."""
        shape = msgspec.to_builtins(self)
        shape["train"] = shape["train"] | dict.fromkeys(TRAIN_SCALARS, 0)
        for name in self.model.left_out:
            del shape["model"][name]
        counts = {n: self.objective.hyper[n] for n in OBJECTIVES[self.objective.name].counts}
        for name in ("objective", "likelihood", "posterior", "prior"):
            shape[name] = shape[name]["name"]
        shape["counts"] = counts
        return digest(shape | {"seed": 0, "rate_weight": len(self.layer_weights)})


def _text(weights: tuple[float | Choice, ...]) -> str:
    return " / ".join(map(text, weights))


TRAIN_SCALARS = (
    *("learning_rate", "max_grad_norm", "weight_decay", "beta1", "beta2", "epsilon", "ema"),
    *("second_moment", "patience", "keep"),
)
"""Settings of training in which the runs of one stack may differ."""


def _train_identity(train: TrainConfig) -> dict[str, Any]:
    """The settings of training as they enter the id.

    Runs have the ids that they had before there were those of ADDED, and before patience waited for
    schedules, where their numbers are what they were.
    """
    identity: dict[str, Any] = msgspec.to_builtins(train)
    for name in train.left_out:
        del identity[name]
    if train.patience is not None:
        identity["patience"] = {"points": train.patience, "counted": "once schedules have ended"}
    return identity


def _model_identity(model: ModelConfig) -> dict[str, Any]:
    """The model as it enters the id: see `_decisive`."""
    identity: dict[str, Any] = msgspec.to_builtins(model)
    for name in ("hyper", *model.left_out):
        del identity[name]
    hyper = _decisive(model)
    return identity | ({"hyper": hyper} if hyper else {})


def _decisive(model: ModelConfig) -> dict[str, bool | int | float | str]:
    """The hyperparameters of a model that count: of this package's, those not at their defaults.

    So runs keep their ids and settings where such a model is given another. All of those of a
    user's model count, as a process knows its defaults only once its file is loaded.
    """
    if model.name not in MODELS or is_users(MODELS[model.name].networks):
        return model.hyper
    declared = MODELS[model.name].hyper
    usual = {name: setting.default for name, setting in declared.items()}
    return {name: value for name, value in model.hyper.items() if value != usual.get(name)}


def observation_space(data: DataConfig, measure: str, num_samples: int) -> str:
    """A word that two runs share where their NLLs can be compared.

    They need the same data, the same kind of density (`measure`, that of the likelihood: mass or
    density), and as many samples in the NLL, which is a tighter bound with more.
    """
    split = "" if data.valid_fraction is None else f"/valid {data.valid_fraction:g}"
    split += f"/test {data.test_fraction:g}" if data.test_fraction is not None else ""
    split += f"/split {data.split_seed}" if data.split_seed else ""
    measure = "mass" if data.dequantise else measure
    space = f"{data.label}/{data.observed}{split}/{measure}/K={num_samples}"
    return f"{space}/{data.fingerprint[:8]}"
