"""A claim as a file: what was published, and the study that should show it again."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from vaebench.config.convert import convert
from vaebench.config.study import Study, from_table
from vaebench.config.toml import read_table
from vaebench.core.errors import InputError, near_match
from vaebench.reproduction.statements import Difference, Kind, Value

FOLDER = Path(str(resources.files("vaebench.reproduction"))) / "claims"
EXPECTED = FOLDER.parent / "expected.toml"
"""The suite's own figures at the scale `cpu`, made by `nox -s expectations`."""
ScaleName = Literal["cpu", "full"]


class Gradients(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A measurement of gradients in the place of training: as `vaebench gradients` makes it."""

    samples: tuple[int, ...]
    replicas: int
    at: tuple[int, ...]
    """Training steps before the measurement: one number."""
    seeds: tuple[int, ...]

    def __post_init__(self) -> None:
        """Raises ValueError where it is not at one step, or has no seeds or samples."""
        if len(self.at) != 1 or not self.seeds or not self.samples:
            raise ValueError("gradients must have samples, seeds, and one number of steps in `at`")


class Scale(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One schedule of a claim with what it must show: `full` as published, `cpu` a shorter one."""

    statements: tuple[Kind, ...]
    set: tuple[str, ...] = ()
    """What differs from the claim's study, as `vaebench run --set` takes it."""
    gradients: Gradients | None = None

    def __post_init__(self) -> None:
        """Raises ValueError where there is nothing to judge."""
        if not self.statements:
            raise ValueError("there must be a statement at least, as [[full.statements]]")


class Claim(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was published, where, and how it is to be shown again."""

    title: str
    source: str
    """Paper and table, or repository@commit and file."""
    study: dict[str, Any] = {}
    """A study as its file has it, without a name; empty where the suite lacks what it needs."""
    full: Scale
    cpu: Scale | None = None
    differs: tuple[str, ...] = ()
    """What is not as published, in a sentence each."""
    lacks: str = ""
    """What the suite would need to run it at all; "" where it can."""
    needs: str = ""
    """What `full` needs beside time."""
    name: str = ""
    """Filled in: the file's."""

    def __post_init__(self) -> None:
        """Raises ValueError where nothing can be run, or seeds are in two places."""
        if not self.study and not self.lacks:
            raise ValueError("there must be a [study.base], or in `lacks` why there is none")
        scales = [self.full, *([] if self.cpu is None else [self.cpu])]
        if any(scale.gradients for scale in scales) and "seed" in self.study.get("axes", {}):
            raise ValueError("gradients have their seeds beside them: leave axes.seed out")

    def scale(self, name: ScaleName) -> Scale:
        """The schedule of this name. Raises InputError where the claim has none."""
        chosen = self.full if name == "full" else self.cpu
        if chosen is None:
            raise InputError(
                f"claim {self.name!r} must have the scale that is asked for; it has full alone: "
                f"--scale full"
            )
        return chosen

    @property
    def scales(self) -> list[ScaleName]:
        """The schedules that it has."""
        return ["full"] if self.cpu is None else ["cpu", "full"]

    def study_at(self, name: ScaleName, seeds: Sequence[int] = ()) -> Study:
        """The study at a scale, by other seeds where they are given. Raises InputError."""
        overrides = [*self.scale(name).set, *([f"axes.seed={list(seeds)}"] if seeds else [])]
        table = {**self.study, "name": f"{self.name}-{name}"}
        return from_table(table, overrides, f"claim {self.name!r}")


def names() -> list[str]:
    """The claims that come with the suite."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read_claim(name: str) -> Claim:
    """A claim of the suite by its name, or of a TOML file by its path. Raises InputError."""
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not name.endswith(".toml") and name not in names():
        known = near_match(name, names())
        raise InputError(f"unknown claim {name!r}; {known}, or the path of a .toml file")
    try:
        claim: Claim = replace(convert(read_table(path), Claim), name=path.stem)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    if claim.cpu is None:
        return claim
    return replace(claim, cpu=with_expectations(claim.cpu, expectations().get(claim.name, {})))


def expectations() -> dict[str, dict[str, dict[str, Any]]]:
    """The suite's own figures: claim -> sentence -> {value, spread, seeds}."""
    return tomllib.loads(EXPECTED.read_text()) if EXPECTED.is_file() else {}


def with_expectations(scale: Scale, expected: Mapping[str, Mapping[str, Any]]) -> Scale:
    """The scale with the suite's own figures in the statements that are held against them."""

    def filled(statement: Kind) -> Kind:
        if not is_expected(statement) or statement.says not in expected:
            return statement
        figure = expected[statement.says]
        return replace(statement, published=figure["value"], spread=figure["spread"])

    return replace(scale, statements=tuple(map(filled, scale.statements)))


def is_expected(statement: Kind) -> bool:
    """Whether the statement is held against what the suite itself gave before."""
    return isinstance(statement, Value | Difference) and statement.expected
