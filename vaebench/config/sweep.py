"""The section [sweep] of a study: what is searched, by what, for what, and for how long."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta, Struct

from vaebench.config.convert import convert, long_form
from vaebench.config.places import CHOICES, SECTIONS, by_place
from vaebench.config.sections import LARGEST, AtLeastOne, Choice, Positive
from vaebench.core.errors import InputError


class SearchRange(Struct, frozen=True, forbid_unknown_fields=True):
    """A range of numbers; whole ones for a field of whole numbers."""

    low: float
    high: float
    log: bool = False


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a metric must keep to for a trial to be chosen."""

    min: float | None = None
    max: float | None = None

    def __post_init__(self) -> None:
        """Raises InputError for limits that limit nothing."""
        if self.min is None and self.max is None:
            raise InputError("a constraint needs a limit: give min, max or both")


class Budget(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the search of every variant may take: one of these."""

    trials: AtLeastOne | None = None
    steps: AtLeastOne | None = None
    """Training steps, summed over runs."""
    decoder_evaluations: AtLeastOne | None = None
    """Training steps x samples x batch size, summed over runs."""
    seconds: Positive | None = None
    """Training steps x the time of a step, from a timing pass, summed over runs."""

    def __post_init__(self) -> None:
        """Raises InputError where several are given."""
        if len(self.given) > 1:
            raise InputError(
                f"a budget is one amount; got {' and '.join(self.given)}: leave one of them"
            )

    @property
    def given(self) -> dict[str, float]:
        """The amount by its name; nothing where there is none."""
        amounts = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: amount for name, amount in amounts.items() if amount is not None}


def budget_of(amounts: Mapping[str, float | None]) -> Budget | None:
    """The budget of these amounts; None where there is none. Raises InputError."""
    limits = {name: amount for name, amount in amounts.items() if amount is not None}
    for name, amount in limits.items():
        if not amount > 0:
            raise InputError(f"a budget must be above 0; got {amount:g} {name.replace('_', ' ')}")
    return convert(limits, Budget) if limits else None


class SweepConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the variants of a study are tuned, each by a search of its own with the same budget."""

    target: str | tuple[str, ...] = "nll"
    """What trials are judged by, on the validation part alone: metrics that the study grades, and
    step_time. Of several, the first chooses among the trials that no other beats in all."""
    constraints: dict[str, Limits] = {}
    """Limits on such metrics."""
    space: dict[str, SearchRange | list[Any]] = {}
    """Ranges, or lists of choices, by dotted place, beside those that entries declare."""
    budget: Budget = Budget()
    sampler: Choice = Choice("tpe")
    """What chooses the trials: a name of `running.sweeps.samplers`, with its options."""
    pruner: Choice = Choice("none")
    """What ends trials early: a name of `running.sweeps.pruners`, with its options."""
    batch: AtLeastOne = 4
    """Trials of a variant that are asked for at once, and trained side by side."""
    seed: Annotated[int, Meta(ge=0, le=LARGEST)] = 0
    final_seeds: Annotated[int, Meta(ge=0, le=LARGEST)] = 5
    """Seeds, after those of the study, on which the best trial of each variant and the variant as
    it was are trained and graded in full."""
    storage: str = ""
    """The URL of an Optuna storage; "": a journal in the output folder."""

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets, also where there is one."""
        return (self.target,) if isinstance(self.target, str) else self.target

    def __post_init__(self) -> None:
        """Raises InputError for no target, and one that is there twice."""
        if not self.targets or len(set(self.targets)) < len(self.targets):
            raise InputError(
                f"a sweep needs targets that differ; got {list(self.targets)}: name each once"
            )


def opened(section: Mapping[str, Any]) -> dict[str, Any]:
    """The table of the section with its ranges by dotted place."""
    table = dict(section)
    if isinstance(space := table.get("space"), dict):
        table["space"] = by_place(space, _holds_ranges)
    return table


def written_long(section: Mapping[str, Any]) -> dict[str, Any]:
    """The table of the section with sampler and pruner as tables, where they are names."""
    names = [name for name in ("sampler", "pruner") if name in section]
    return {**section, **{name: long_form(name, section[name]) for name in names}}


def _holds_ranges(place: str, table: dict[str, Any]) -> bool:
    """Whether a table holds ranges or choices, or tables of them, and is not itself a range."""
    of_run = place in (*SECTIONS, *CHOICES) or all(
        isinstance(v, dict | list) for v in table.values()
    )
    return of_run and not set(table) & set(SearchRange.__struct_fields__)
