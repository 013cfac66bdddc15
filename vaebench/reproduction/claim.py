"""A claim as a file: what was published, and the study that should show it again."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from vaebench.config.convert import convert
from vaebench.config.study import Study, from_table
from vaebench.config.toml import read_table
from vaebench.core.errors import InputError, near_match
from vaebench.reproduction.statements import Kind

FOLDER = Path(str(resources.files("vaebench.reproduction"))) / "claims"
EXPECTED = FOLDER.parent / "expected"
"""What the claims gave at the scale `cpu`, a file of each: made by `nox -s expectations`."""
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
    expected: dict[str, dict[str, float]] = {}
    """What its statements gave before, by sentence and seed. For `cpu` of the suite's claims it is
    filled in."""

    def __post_init__(self) -> None:
        """Raises ValueError where there is nothing to judge, two statements are one, or there is
        nothing to expect it by."""
        if not self.statements:
            raise ValueError("there must be a statement at least, as [[full.statements]]")
        sentences = {statement.says for statement in self.statements}
        if len(sentences) < len(self.statements):
            raise ValueError("each statement must have a sentence of its own in `says`")
        for says, figures in self.expected.items():
            if says not in sentences or len(figures) < 2:
                raise ValueError(
                    f"`expected` must have a statement's sentence with the figures of two seeds or "
                    f"more; got {says!r} with {len(figures)}"
                )


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

    def study_at(self, name: ScaleName) -> Study:
        """The study at a scale. Raises InputError."""
        table = {**self.study, "name": f"{self.name}-{name}"}
        return from_table(table, self.scale(name).set, f"claim {self.name!r}")


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
        table = read_table(path)
        if path.resolve().parent == FOLDER.resolve() and "cpu" in table:
            table["cpu"] = {**table["cpu"], "expected": recorded(path.stem)}
        claim: Claim = convert(table, Claim)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return replace(claim, name=path.stem)


def recorded(name: str) -> dict[str, dict[str, float]]:
    """What a claim of the suite gave at the scale `cpu`: sentence -> seed -> figure."""
    path = EXPECTED / f"{name}.toml"
    return tomllib.loads(path.read_text()) if path.is_file() else {}
