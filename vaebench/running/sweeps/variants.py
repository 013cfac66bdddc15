"""The variants of a study: each with its runs, one for each seed, and the space of its search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from vaebench.config import RunConfig
from vaebench.config.study import Study, set_by_axes
from vaebench.running.budget import expanded
from vaebench.running.recording import labels
from vaebench.running.sweeps.space import Space, check_used, search_space

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Variant:
    """What is tuned by a search of its own."""

    name: str
    runs: tuple[RunConfig, ...]
    """The runs of a variant as the study has them, one for each of its seeds."""
    space: Space

    def with_seeds(self, seeds: Sequence[int]) -> list[RunConfig]:
        """The variant as the study has it, on other seeds."""
        return [replace(self.runs[0], seed=seed) for seed in seeds]


def variants_of(study: Study) -> list[Variant]:
    """The variants of a study, in the order of its axes. Raises InputError."""
    groups: dict[str, list[tuple[RunConfig, frozenset[str]]]] = {}
    for config, places in zip(expanded(study), set_by_axes(study), strict=True):
        groups.setdefault(replace(config, seed=0).id, []).append((config, places))
    firsts = [group[0][0] for group in groups.values()]
    spaces = [
        search_space(config, study.sweep.space, places)
        for config, places in (group[0] for group in groups.values())
    ]
    check_used(study.sweep.space, spaces)
    return [
        Variant(name, tuple(config for config, _ in group), space)
        for name, group, space in zip(names(firsts), groups.values(), spaces, strict=True)
    ]


def names(configs: Sequence[RunConfig]) -> list[str]:
    """A name for each variant that no other has: with likelihood and settings where they differ,
    and its observation space where no less tells two apart."""
    import pandas as pd

    table = pd.DataFrame([_labels(config) for config in configs])
    named = pd.concat(_named(part) for _, part in table.groupby("observation_space"))
    for column in ("likelihood", "observation_space"):
        if named["name"].duplicated().any():
            named["name"] += ", " + named[column]
    return named.sort_index()["name"].to_list()


def _named(part: pd.DataFrame) -> pd.DataFrame:
    from vaebench.report.labels import display_names

    return part.assign(name=display_names(part))


def _labels(config: RunConfig) -> dict[str, str]:
    shown = labels(config, seed=None)
    return {
        name: getattr(shown, name)
        for name in ("observation_space", "variant", "likelihood", "settings")
    }
