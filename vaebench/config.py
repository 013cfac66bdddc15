"""RunConfig: everything that decides a run's numbers; the hash of its canonical JSON is its id."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import Meta, Struct, field

from vaebench.combinations import EVERYTHING, refusal
from vaebench.errors import InputError, near_match
from vaebench.evaluate import GRADINGS, USUAL
from vaebench.hyper import Hyper, complete, hyperparameters, source_fingerprint
from vaebench.likelihoods import LIKELIHOODS, Likelihood
from vaebench.models import MODELS
from vaebench.objectives import OBJECTIVES, Objective
from vaebench.posteriors import POSTERIORS, Latent
from vaebench.priors import PRIORS
from vaebench.schedules import SCHEDULES

PROTOCOL = 2
"""Raised when the same configuration would give other numbers, so that old records do not pass."""

AtLeastOne = Annotated[int, Meta(ge=1)]
Positive = Annotated[float, Meta(gt=0.0, le=sys.float_info.max)]
Binarisation = Literal["none", "dynamic", "threshold", "static"]


class Choice(Struct, frozen=True, forbid_unknown_fields=True):
    """A registry entry by name, with its hyperparameters: numbers or schedules."""

    name: str
    hyper: dict[str, float | Choice] = {}

    def __str__(self) -> str:
        """As tables show it; a schedule without the parameters that it has by default."""
        defaults = hyperparameters(SCHEDULES[self.name]) if self.name in SCHEDULES else {}
        inside = ", ".join(
            f"{name}={_text(value)}"
            for name, value in self.hyper.items()
            if name not in defaults or defaults[name].default != value
        )
        return f"{self.name}({inside})" if inside else self.name


class DataConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A data set by name or .npz path, and what else makes its identity."""

    name: str = "digits"
    binarisation: Binarisation = "none"
    valid_fraction: Annotated[float, Meta(gt=0.0, lt=1.0)] | None = None
    """Of the training part, where the data set has no validation part of its own; None: 1/6."""
    split_seed: int = 0
    dequantise: bool = False
    """Fill the gaps between the 256 levels of 8-bit images with noise; what a density then gives
    is a bound on the log-probability of the stored images."""
    fingerprint: str = ""
    """Of the bytes; filled in when a study is read."""

    @property
    def label(self) -> str:
        """The name without the folder that a path may have."""
        return Path(self.name).stem

    @property
    def observed(self) -> str:
        """How stored intensities become observations, in a word."""
        return "dequantised" if self.dequantise else self.binarisation


class ModelConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Encoder and decoder."""

    name: str = "mlp"
    latent_dim: AtLeastOne = 8
    """Dimensions of the code, or its categorical variables."""
    widths: tuple[AtLeastOne, ...] = (128,)
    num_classes: Annotated[int, Meta(ge=2)] = 10
    """Values of each categorical variable."""
    flow_steps: AtLeastOne = 2
    """Maps of a flow posterior."""
    num_components: AtLeastOne = 10
    """Components of a mixture prior."""

    @property
    def latent(self) -> Latent:
        """The sizes of the code."""
        return Latent(self.latent_dim, self.num_classes, self.flow_steps)


class TrainConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The training loop: Adam on minibatches."""

    num_steps: AtLeastOne = 6000
    batch_size: AtLeastOne = 64
    learning_rate: Positive = 1e-3
    max_grad_norm: Positive | None = None
    """Gradients are scaled down to this norm, run by run; None: never."""
    weight_decay: Annotated[float, Meta(ge=0.0, le=sys.float_info.max)] = 0.0
    """Decoupled from the gradient (Loshchilov & Hutter 2019, algorithm 2)."""
    patience: AtLeastOne | None = None
    """A run stops after so many points of its learning curve, of which there are 40 to 79 (a point
    for each step where they are fewer), without a better ELBO on the validation part; None: never.
    """
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the networks' products in training; every grade is computed in float32."""


class EvaluateConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The evaluation that every run gets."""

    num_samples: AtLeastOne = 100
    """K of the importance-weighted NLL, and of the sampled reconstruction term."""
    num_images: Annotated[int, Meta(ge=2)] = 1000
    """Images drawn from the prior, to be compared with held-out ones."""
    extractor: str = "auto"
    """Of the features that images are compared by: see `vaebench.evaluate.extractors`."""
    gradings: tuple[Choice, ...] = tuple(Choice(name, dict(hyper)) for name, hyper in USUAL.items())
    """What is graded: entries of the registry `gradings`, with their scalars."""

    @property
    def wanted(self) -> dict[str, dict[str, float]]:
        """The gradings by name, with their scalars."""
        return {g.name: cast(dict[str, float], g.hyper) for g in self.gradings}


class RunConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One run. Frozen and complete: what is not here does not change its numbers."""

    objective: Choice
    likelihood: Choice
    posterior: Choice = Choice("diagonal_gaussian")
    prior: Choice = Choice("standard_normal")
    num_samples: AtLeastOne = 1
    """K posterior samples per example in training."""
    rate_weight: float | Choice = 1.0
    """The warm-up: a weight on the rate, usually a schedule, that any objective can be given."""
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0
    plugin: str = ""
    """Fingerprint of the files that define objective and likelihood, where these are not ours;
    filled in when a study is read."""

    @property
    def id(self) -> str:
        """16 hex digits of the hash of the canonical JSON; a data set counts by its bytes."""
        identity = msgspec.to_builtins(self) | {"protocol": PROTOCOL}
        identity["data"] = identity["data"] | {"name": self.data.label}
        return _digest(identity)

    @property
    def variant(self) -> str:
        """What is compared, for tables: the objective with its K, hyperparameters and warm-up, and
        posterior and prior where they are not the usual ones."""
        samples = f" K={self.num_samples}" if self.num_samples > 1 else ""
        warm_up = "" if self.rate_weight == 1.0 else f", rate weight {_text(self.rate_weight)}"
        family = "".join(
            f", {choice}"
            for choice, usual in zip((self.posterior, self.prior), EVERYTHING, strict=True)
            if choice.name != usual
        )
        return f"{self.objective}{samples}{warm_up}{family}"

    @property
    def settings(self) -> dict[str, str]:
        """What else decides the numbers, beside variant, likelihood, data and seed: flat."""
        sections = {"model": self.model, "train": self.train, "evaluate": self.evaluate}
        flat = {
            f"{section}.{name}": _setting(v)
            for section, fields in sections.items()
            for name, v in msgspec.structs.asdict(fields).items()
        }
        return flat | ({"plugin": self.plugin} if self.plugin else {})

    @property
    def observation_space(self) -> str:
        """Runs are ranked only against runs with the same one: same data, same kind of density, and
        as many samples in the NLL, which is a tighter bound with more.
        """
        data = self.data
        split = "" if data.valid_fraction is None else f"/valid {data.valid_fraction:g}"
        split += f"/split {data.split_seed}" if data.split_seed else ""
        measure = "mass" if data.dequantise else LIKELIHOODS[self.likelihood.name].measure
        samples = f"K={self.evaluate.num_samples}"
        return f"{data.label}/{data.observed}{split}/{measure}/{samples}/{data.fingerprint[:8]}"

    @property
    def stack_key(self) -> str:
        """Runs with the same one differ only in seed and scalars, and can train side by side."""
        shape = msgspec.to_builtins(self)
        shape["train"] = shape["train"] | dict.fromkeys(TRAIN_SCALARS, 0)
        counts = {n: self.objective.hyper[n] for n in OBJECTIVES[self.objective.name].counts}
        for name in ("objective", "likelihood", "posterior", "prior"):
            shape[name] = shape[name]["name"]
        shape["counts"] = counts
        return _digest(shape | {"seed": 0, "rate_weight": 0})


TRAIN_SCALARS = ("learning_rate", "max_grad_norm", "weight_decay", "patience")
"""Settings of training in which the runs of one stack may differ."""
RATE_WEIGHT = Hyper(low=0.0)
CHOICES = ("objective", "likelihood", "posterior", "prior", "rate_weight")
"""Fields whose value names an entry of a registry; rate_weight may be a plain number."""


def completed(config: RunConfig) -> RunConfig:
    """The configuration with every default written out, and every name and value checked.

    Raises InputError.
    """
    convert(msgspec.to_builtins(config), RunConfig)  # one made in Python has not been checked
    likelihood, objective = LIKELIHOODS[config.likelihood.name], OBJECTIVES[config.objective.name]
    posterior, prior = POSTERIORS[config.posterior.name], PRIORS[config.prior.name]
    _check_model(config.model)
    _check_dequantised(config.data, likelihood)
    if objective.ignores_rate and config.rate_weight != 1.0:
        raise InputError(f"objective {objective.name!r} ignores the rate: remove rate_weight")
    _check_no_schedule("likelihood", config.likelihood)
    _check_no_schedule("prior", config.prior)
    done = msgspec.structs.replace(
        config,
        objective=_completed_choice("objective", config.objective, objective.hyper),
        likelihood=_completed_choice("likelihood", config.likelihood, likelihood.hyper),
        posterior=_completed_choice("posterior", config.posterior, posterior.hyper),
        prior=_completed_choice("prior", config.prior, prior.hyper),
        evaluate=_completed_gradings(config.evaluate),
        rate_weight=_completed_value("rate_weight", config.rate_weight, RATE_WEIGHT),
        plugin=_plugin_fingerprint(objective.loss, likelihood.log_prob, prior.log_prob),
    )
    _check_combination(done, objective.counts)
    _check_batch(done, objective)
    return done


def _completed_gradings(evaluate: EvaluateConfig) -> EvaluateConfig:
    """Raises InputError for a grading that is there twice, and where the one to rank by is not."""
    names = [choice.name for choice in evaluate.gradings]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"evaluate.gradings must differ; {twice[0]!r} is there twice")
    done = tuple(
        _completed_choice("grading", choice, GRADINGS[choice.name].hyper)
        for choice in evaluate.gradings
    )
    if "likelihood" not in names:
        raise InputError(
            f"evaluate.gradings must hold 'likelihood', by which variants are ranked; got {names}"
        )
    for choice in done:
        _check_no_schedule("grading", choice)
    return msgspec.structs.replace(evaluate, gradings=done)


def _check_no_schedule(kind: str, choice: Choice) -> None:
    for name, value in choice.hyper.items():
        if isinstance(value, Choice):
            raise InputError(
                f"{kind} {choice.name!r}: {name} must be a number, it has no schedule; got {value}"
            )


def _check_combination(config: RunConfig, counts: Sequence[str]) -> None:
    """Raises InputError for parts that cannot be combined, with the reason."""
    reason = refusal(
        config.objective.name,
        config.likelihood.name,
        config.posterior.name,
        config.prior.name,
        config.num_samples,
        tuple((name, int(cast(float, config.objective.hyper[name]))) for name in counts),
        config.model.latent,
    )
    if reason:
        raise InputError(f"objective {config.objective.name!r} is refused: {reason}")


def _check_batch(config: RunConfig, objective: Objective) -> None:
    """Raises InputError where one example is no batch for what compares examples."""
    compares = objective.of_batch or objective.auxiliary is not None
    if compares and config.train.batch_size < 2:
        raise InputError(
            f"objective {objective.name!r} compares the examples of a batch: train.batch_size must "
            f"be at least 2; got {config.train.batch_size}"
        )


def _check_dequantised(data: DataConfig, likelihood: Likelihood) -> None:
    if data.dequantise and data.binarisation != "none":
        raise InputError(
            f"dequantised data must have binarisation 'none'; got {data.binarisation!r}"
        )
    if data.dequantise and likelihood.measure == "mass":
        raise InputError(
            f"dequantised data need a likelihood that is a density; {likelihood.name!r} gives "
            f"probabilities to the stored levels: remove dequantise"
        )


def parse(raw: dict[str, Any]) -> RunConfig:
    """A completed RunConfig from a nested table, as a study has it.

    Choices may be written short: "elbo", or {name = "beta_elbo", beta = 4.0}. Raises InputError
    that names the key, for unknown keys, wrong types, unknown names and values out of range.
    """
    table = dict(raw)
    for name in CHOICES:
        if name in table:
            table[name] = _long_form(name, table[name])
    if isinstance(grades := table.get("evaluate"), dict) and "gradings" in grades:
        table["evaluate"] = grades | {"gradings": _long_forms("gradings", grades["gradings"])}
    return completed(convert(table, RunConfig))


def convert(table: Any, kind: Any) -> Any:
    """msgspec.convert, strictly; its errors as InputError, with a hint for a misspelt key."""
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        message = str(error).replace("`", "'").replace("$.", "")
        unknown = re.search(r"unknown field '(\w+)'(?: - at '(\w+)')?", message)
        if unknown:
            hint = near_match(unknown[1], _fields_at(kind, unknown[2]))
        else:
            hint = f"got {_given(table, message)!r}" if " - at " in message else "add it"
        raise InputError(f"{message}; {hint}") from error


def _given(table: Any, message: str) -> Any:
    """The value that a message of msgspec ends in pointing at: ... - at 'model.widths[0]'."""
    _, _, place = message.rpartition(" - at ")
    for step in re.findall(r"\w+", place):
        table = table[int(step)] if step.isdigit() else table.get(step, table)
    return table


def _fields_at(kind: Any, section: str | None) -> list[str]:
    """The keys of a Struct, or of the Struct that is one of its fields."""
    if not (isinstance(kind, type) and issubclass(kind, Struct)):
        return []
    fields = {f.encode_name: f.type for f in msgspec.structs.fields(kind)}
    return list(fields) if section is None else _fields_at(fields.get(section), None)


def _long_form(key: str, value: Any) -> Any:
    if isinstance(value, str):
        return {"name": value}
    if isinstance(value, dict) and "name" in value and "hyper" not in value:
        hyper = {k: _long_form(k, v) for k, v in value.items() if k != "name"}
        return {"name": value["name"], "hyper": hyper}
    if isinstance(value, dict) and "name" not in value:
        raise InputError(f"{key} needs a name, as in {key} = {{name = ...}}; got {value!r}")
    return value


def _long_forms(key: str, values: Any) -> Any:
    return [_long_form(key, value) for value in values] if isinstance(values, list) else values


def _plugin_fingerprint(*functions: Callable[..., Any]) -> str:
    return "+".join(filter(None, map(source_fingerprint, functions)))


def _check_model(model: ModelConfig) -> None:
    if reason := MODELS[model.name].refuses_widths(model.widths):
        raise InputError(f"model {model.name!r} is refused: {reason}")


def _completed_choice(kind: str, choice: Choice, declared: Mapping[str, Hyper]) -> Choice:
    what = f"{kind} {choice.name!r}"
    values = complete(what, declared, choice.hyper)
    return Choice(
        choice.name,
        {k: _completed_value(f"{what}: {k}", v, declared[k]) for k, v in values.items()},
    )


def _completed_value(what: str, value: float | Choice, hyper: Hyper) -> float | Choice:
    """The number, or the schedule with its defaults; in range at every point of training."""
    if not isinstance(value, Choice):
        hyper.check(what, value)
        return value
    if any(isinstance(inner, Choice) for inner in value.hyper.values()):
        raise InputError(f"{what}: the parameters of a schedule must be numbers; got {value}")
    if hyper.integer:
        raise InputError(f"{what} is a whole number, which has no schedule; got {value}")
    schedule = _completed_choice("schedule", value, hyperparameters(SCHEDULES[value.name]))
    for progress in range(101):
        hyper.check(what, SCHEDULES[schedule.name](progress / 100, **schedule.hyper))
    return schedule


def _setting(value: Any) -> str:
    """As one word: tables tell settings apart at the spaces."""
    words = value if isinstance(value, tuple) else (value,)
    return ",".join(map(str, words)).replace(" ", "")


def _text(value: float | Choice) -> str:
    return f"{value:g}" if isinstance(value, (int, float)) else str(value)


def _digest(table: dict[str, Any]) -> str:
    canonical = msgspec.json.encode(table, order="deterministic")
    return hashlib.sha256(canonical).hexdigest()[:16]
