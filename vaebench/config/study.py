"""Reads a study, a TOML file, and expands it into configurations of runs.

name = "digits"
[base]                 # a RunConfig, in part
[axes]                 # the product of these
seed = [0, 1, 2]                                     # sets the field of that name
"train.learning_rate" = [1e-3, 3e-4]                 # or of that dotted name, quoted or not
variant = [{objective = "elbo"}, {objective = "iwae", num_samples = 5}]
                                                     # tables are laid over the base
[budget]               # what every variant trains for, in the place of train.num_steps
decoder_evaluations = 1_000_000
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from vaebench.config import (
    DataConfig,
    RunConfig,
    by_place,
    convert,
    parse,
    value_at,
    with_value,
)
from vaebench.config.axes import (
    FIELDS,
    Patch,
    always_set,
    axis_patches,
    check_disjoint,
    laid_over,
    leaves,
)
from vaebench.config.resolve import resolve
from vaebench.config.sweep import SweepConfig, written_long
from vaebench.config.sweep import opened as opened_sweep
from vaebench.config.toml import check_plain, read_table, toml_value
from vaebench.config.training_budget import StepMs, TrainingBudget, check_unset, within
from vaebench.core.errors import InputError

FILLED_IN = {
    "plugin": "give the file with --plugin FILE.py",
    "data.fingerprint": "it is computed from the data",
}
"""Fields that are computed when a study is read, with what to do instead of setting them."""
MAX_NAME_BYTES = 200
"""Bytes of a study's name at most: file systems take 255, and words are added to it."""


class Study(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The contents of a study file."""

    name: str
    """Letters, digits, _ . - only, the first no . or -: it names files."""
    base: dict[str, Any] = {}
    axes: dict[str, Any] = {}
    budget: TrainingBudget | None = None
    """What every run trains for; None: `train.num_steps` of each."""
    sweep: SweepConfig = SweepConfig()

    def __post_init__(self) -> None:
        """Raises InputError for a name that is not safe as that of a folder."""
        fits = re.fullmatch(r"\w[\w.-]*", self.name) and len(self.name.encode()) <= MAX_NAME_BYTES
        if not fits:
            raise InputError(
                f"a study's name must be letters, digits, _ . - only, the first no . or -, at most "
                f"{MAX_NAME_BYTES} bytes: it names files; got {self.name!r}: choose another"
            )


def read(path: Path, overrides: Sequence[str] = ()) -> Study:
    """Read a study file and lay `key=value` overrides over it. Raises InputError.

    Fields may be named with and without quotes: "train.learning_rate" and train.learning_rate.
    """
    return from_table(read_table(path), overrides, str(path))


def from_table(table: dict[str, Any], overrides: Sequence[str], where: str) -> Study:
    """The study of a table as a file has it, with overrides. Raises InputError that says `where`
    the table is."""
    table = _opened(table)
    for override in overrides:
        table = _overridden(table, override)
    try:
        check_plain(table)
        if isinstance(section := table.get("sweep"), dict):
            table["sweep"] = written_long(section)
        study = convert(table, Study, places=[f"base.{name}" for name in FIELDS])
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    _check_used(overrides, study.axes)
    return study


def of_data(study: Study, data: DataConfig | None) -> Study:
    """The study with other data for all its runs; None: its own.

    Raises InputError where an axis sets the data.
    """
    if data is None:
        return study
    if any(_of_data(place) for places in set_by_axes(study) for place in places):
        raise InputError("data are given, and the study's axes set data too: remove one of them")
    others = {place: value for place, value in by_place(study.base).items() if not _of_data(place)}
    fields = {k: v for k, v in msgspec.to_builtins(data).items() if f"data.{k}" not in FILLED_IN}
    return msgspec.structs.replace(study, base={**others, "data": fields})


def _of_data(place: str) -> bool:
    return place.partition(".")[0] == "data"


def expand(study: Study, step_ms: StepMs | None = None) -> list[RunConfig]:
    """Every run of the study, checked against its data. Raises InputError.

    `step_ms`: what a step takes, for a budget of seconds.
    """
    return resolve([_parsed(study, table, step_ms) for table in _tables(study)])


def num_combinations(study: Study) -> int:
    """How many runs the axes give, those included that are refused. Raises InputError."""
    return math.prod(len(axis_patches(*axis)) for axis in by_place(study.axes).items())


class Refusal(Struct, frozen=True):
    """A combination of a study's axes that is refused, and why."""

    settings: dict[str, Any]
    """What the axes set, by place."""
    reason: str


def tried(study: Study, step_ms: StepMs | None = None) -> tuple[list[RunConfig], list[Refusal]]:
    """The runs of a study that are accepted, each for itself, and the refusals of the others.

    Raises InputError for what is refused of the study as a whole.
    """
    with suppress(InputError):
        return expand(study, step_ms), []
    accepted, refused = [], []
    for table, combination in zip(_tables(study), _combinations(study), strict=True):
        try:
            accepted += resolve([_parsed(study, table, step_ms)])
        except InputError as error:
            settings = {place: value for patch in combination for place, value in patch.items()}
            refused.append(Refusal(settings, str(error)))
    return (resolve(accepted) if accepted else []), refused


def _tables(study: Study) -> list[dict[str, Any]]:
    """The table of each run: a combination of the axes' values, laid over the base."""
    _check_seed(study)
    base = laid_over({}, by_place(study.base))
    return [laid_over(base, *combination) for combination in _combinations(study)]


def _parsed(study: Study, table: dict[str, Any], step_ms: StepMs | None) -> RunConfig:
    """The run of a table, with the steps that the study's budget has for it."""
    _check_settable(table)
    config = parse(table)
    if study.budget is None:
        return config
    check_unset(table)
    return within(study.budget, config, step_ms)


def set_by_axes(study: Study) -> list[frozenset[str]]:
    """For each run that `expand` gives, the places that its axes set. Raises InputError."""
    return [
        frozenset(place for patch in combination for place in leaves(patch))
        for combination in _combinations(study)
    ]


def _combinations(study: Study) -> list[tuple[Patch, ...]]:
    """The product of the axes. Raises InputError for a field that two of them set."""
    axes = [axis_patches(name, values) for name, values in by_place(study.axes).items()]
    check_disjoint(axes)
    return list(itertools.product(*axes))


def _check_used(overrides: Sequence[str], axes: Mapping[str, Any]) -> None:
    """Raises InputError for an override of the base that every entry of an axis replaces."""
    overridden = [override.partition("=")[0].strip() for override in overrides]
    for name, places in always_set(axes):
        replaced = tuple(f"base.{place}." for place in places)  # with all that lies within
        if unused := [key for key in overridden if f"{key}.".startswith(replaced)]:
            raise InputError(f"--set {unused[0]} does nothing, axes.{name} sets it: set that")


def _check_seed(study: Study) -> None:
    """Raises InputError for a seed of the base that an axis always replaces."""
    for name, places in always_set(study.axes):
        if "seed" in places and "seed" in study.base:
            raise InputError(f"base.seed does nothing, axes.{name} sets it: remove one of them")


def _check_settable(table: Mapping[str, Any]) -> None:
    """Raises InputError for fields that are computed, not set."""
    for place in by_place(table):
        if place in FILLED_IN:
            raise InputError(f"{place} is filled in when a study is read: {FILLED_IN[place]}")


def _opened(table: dict[str, Any]) -> dict[str, Any]:
    """The table of a study with base, axes and ranges by their dotted places."""
    opened = dict(table)
    if isinstance(base := table.get("base"), dict):
        opened["base"] = laid_over({}, by_place(base))
    if isinstance(axes := table.get("axes"), dict):
        opened["axes"] = by_place(axes)
    if isinstance(section := table.get("sweep"), dict):
        opened["sweep"] = opened_sweep(section)
    return opened


def _overridden(table: dict[str, Any], override: str) -> dict[str, Any]:
    """The opened table of a study with KEY=VALUE laid over it. Raises InputError."""
    key, equals, text = (part.strip() for part in override.partition("="))
    names, value = key.split("."), toml_value(text)
    if not equals or not all(names):
        raise InputError(f"--set needs KEY=VALUE, as in axes.seed=3; got {override!r}")
    if names[0] not in Study.__struct_fields__:
        meant = f"base.{key}" if names[0] in FIELDS else "base.train.num_steps"
        raise InputError(
            f"--set needs a key that begins with name, base, axes, budget or sweep, as {meant} "
            f"does; got {key!r}"
        )
    for section in ("axes", "sweep.space"):  # whose keys are dotted places, one key each
        below = value_at(table, section)
        if key.startswith(f"{section}.") and isinstance(below, dict):
            return with_value(table, section, {**below, key.removeprefix(f"{section}."): value})
    return with_value(table, key, value)
