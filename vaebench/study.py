"""A study (TOML) -> a list of RunConfig.

name = "digits"
[base]                 # a RunConfig, in part
[axes]                 # the product of these
seed = [0, 1, 2]                                     # sets the field of that name
"train.learning_rate" = [1e-3, 3e-4]                 # or of that dotted name
variant = [{objective = "elbo"}, {objective = "iwae", num_samples = 5}]
                                                     # tables are laid over the base
"""

from __future__ import annotations

import functools
import itertools
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from vaebench.config import CHOICES, DataConfig, RunConfig, completed, convert, parse
from vaebench.data import PARTS
from vaebench.errors import InputError
from vaebench.evaluation import check
from vaebench.initial import build_stack
from vaebench.likelihoods import LIKELIHOODS
from vaebench.models import MODELS, ImageShape
from vaebench.stack import load_data, subject

SECTIONS = ("data", "model", "train", "evaluate")
"""Tables of a RunConfig that are laid over one another key by key; others are replaced whole."""


class SearchRange(Struct, frozen=True, forbid_unknown_fields=True):
    """A range of a sweep, for a field that does not declare one."""

    low: float
    high: float
    log: bool = False


class SweepConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a sweep of this study minimises and over what, beside the declared ranges."""

    target: Literal["nll", "elbo"] = "nll"
    """On the validation part: the NLL, or minus the beta = 1 ELBO."""
    space: dict[str, SearchRange] = {}
    batch: Annotated[int, Meta(ge=1)] = 4
    """Trials asked for at once, and trained side by side."""
    seed: Annotated[int, Meta(ge=0)] = 0


class Study(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a study file holds."""

    name: Annotated[str, Meta(pattern=r"^[\w.-]+$")]
    """Letters, digits, _ . - only: it names files."""
    base: dict[str, Any] = {}
    axes: dict[str, Any] = {}
    sweep: SweepConfig = SweepConfig()


def read(path: Path, overrides: Sequence[str] = ()) -> Study:
    """A study file with `key=value` laid over it. Raises InputError that names file or key."""
    try:
        table = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path} must be a TOML file: {error}") from error
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise InputError(f"--set needs KEY=VALUE, as in axes.seed=3; got {override!r}")
        _set(table, key.strip(), toml_value(value.strip()))
    try:
        study = convert(table, Study)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    _check_used(overrides, study.axes)
    return study


def expand(study: Study) -> list[RunConfig]:
    """Every run of the study, checked against its data. Raises InputError."""
    axes = [_patches(name, values) for name, values in study.axes.items()]
    _check_disjoint(axes)
    return resolve([parse(_laid_over(study.base, *p)) for p in itertools.product(*axes)])


def resolve(configs: Sequence[RunConfig]) -> list[RunConfig]:
    """The configurations with their data's fingerprint, checked against that data.

    Raises InputError for data that cannot be had, values outside the likelihood's support, a batch
    larger than the training part, images that the model does not take, and two runs that are the
    same.
    """
    checked = functools.cache(_checked_data)  # for this call only: the file may change
    resolved = [_resolved(completed(config), checked) for config in configs]
    for config in {c.stack_key: c for c in resolved}.values():
        _check_gradings(config)
    if not resolved:
        raise InputError("a study must have a run; got an axis with no values")
    seen: dict[str, RunConfig] = {}
    for config in resolved:
        if config.id in seen:
            raise InputError(
                f"runs must differ; {config.variant} seed {config.seed} is there twice"
            )
        seen[config.id] = config
    return resolved


def _resolved(
    config: RunConfig, checked: Callable[[DataConfig, str], tuple[str, int, ImageShape]]
) -> RunConfig:
    fingerprint, num_images, image_shape = checked(config.data, config.likelihood.name)
    if config.train.batch_size > num_images:
        raise InputError(
            f"train.batch_size must be at most the {num_images} training images; "
            f"got {config.train.batch_size}"
        )
    if reason := MODELS[config.model.name].refuses_images(image_shape, config.model.widths):
        raise InputError(f"model {config.model.name!r} is refused: {reason}")
    data = msgspec.structs.replace(config.data, fingerprint=fingerprint)
    return msgspec.structs.replace(config, data=data)


def _check_gradings(config: RunConfig) -> None:
    """Raises InputError for a grading that the run's model or data cannot be graded by."""
    dataset = load_data(config.data)
    model = build_stack([config], dataset.image_shape, dataset.log_volume)
    check(subject(model, dataset, [config]), config.evaluate.wanted)


def _checked_data(data: DataConfig, likelihood: str) -> tuple[str, int, ImageShape]:
    """Fingerprint, training images and their shape, of data that the likelihood supports."""
    dataset = load_data(data)
    for part in PARTS:
        described = f"{dataset.label!r} ({part}) with binarisation {data.observed!r}"
        LIKELIHOODS[likelihood].check_support(dataset.observe(part), described)
    return dataset.fingerprint, len(dataset.train.x), dataset.image_shape


def _patches(name: str, values: Any) -> list[dict[str, Any]]:
    """The values of one axis, each as a table to lay over the base."""
    listed = values if isinstance(values, list) else [values]
    patches: list[dict[str, Any]] = []
    for value in listed:
        if isinstance(value, dict) and name not in CHOICES:
            patches.append(value)
        else:
            patches.append({})
            _set(patches[-1], name, value)
    return patches


def _check_disjoint(axes: Sequence[Sequence[dict[str, Any]]]) -> None:
    seen: set[str] = set()
    for patches in axes:
        keys = {key for patch in patches for key in _leaves(patch)}
        if both := seen & keys:
            raise InputError(f"each field must be set by one axis; {min(both)!r} is set by two")
        seen |= keys


def _check_used(overrides: Sequence[str], axes: dict[str, Any]) -> None:
    """An override of the base that every entry of an axis replaces would do nothing."""
    for name, values in axes.items():
        patches = [set(_leaves(patch)) for patch in _patches(name, values)]
        always = {f"base.{key}" for key in set.intersection(*patches)} if patches else set()
        if unused := always & {override.partition("=")[0].strip() for override in overrides}:
            raise InputError(f"--set {min(unused)} does nothing, axes.{name} sets it: set that")


def _leaves(patch: dict[str, Any]) -> Iterator[str]:
    for key, value in patch.items():
        if key in SECTIONS and isinstance(value, dict):
            yield from (f"{key}.{inner}" for inner in value)
        else:
            yield key


def _laid_over(base: dict[str, Any], *patches: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for patch in patches:
        for key, value in patch.items():
            if key in SECTIONS and isinstance(value, dict):
                below = merged.get(key, {})
                if not isinstance(below, dict):
                    raise InputError(f"base.{key} must be a table; got {below!r}")
                merged[key] = {**below, **value}
            else:
                merged[key] = value
    return merged


def _set(table: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, last = dotted.split(".")
    for i, name in enumerate(parents):
        # An axis may be a dotted field, as train.learning_rate is: a quoted key in TOML.
        rest = ".".join([*parents[i:], last])
        if rest in table or (parents[:i] == ["axes"] and name not in table):
            table[rest] = value
            return
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise InputError(f"{dotted!r} must name a field; {name!r} is not a table")
    table[last] = value


def toml_value(text: str) -> Any:
    """What a command line gives as TOML has it: a number, a list, a table; else a word."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
