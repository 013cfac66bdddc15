"""What samplers and pruners are told of the search that they serve."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from optuna.distributions import BaseDistribution

from vaebench.config import Choice
from vaebench.core.hyper import check_signature, complete
from vaebench.core.registry import Registry
from vaebench.ops.noise import key
from vaebench.running.sweeps.quiet import quiet


@dataclass(frozen=True)
class Setting:
    """One search: its space, its size, and what its trials are."""

    distributions: Mapping[str, BaseDistribution]
    seed: int
    batch: int
    targets: tuple[str, ...]
    num_seeds: int
    """Runs of a trial."""
    num_steps: int
    """Training steps of a run."""
    most_trials: int | None = None
    """Trials of the budget; None where that is counted otherwise."""

    def seed_of(self, slot: int) -> int:
        """The seed of the sampler that is asked for the trial of a slot."""
        return key("sweep", self.seed, slot) % 2**32


Constructed = TypeVar("Constructed")


def construct(
    registry: Registry[Callable[..., Constructed]], choice: Choice, setting: Setting
) -> Constructed:
    """What an entry makes for a search. Raises InputError for an unknown name or option, a value
    out of range, and a search that the entry does not fit."""
    make, what = registry[choice.name], f"{registry.kind} {choice.name!r}"
    declared = check_signature(what, make, "setting", scalars="options")
    options: dict[str, Any] = complete(what, declared, choice.hyper)
    for name, value in options.items():
        declared[name].check(f"{what}: {name}", value)
    whole = {n: int(v) if declared[n].integer else v for n, v in options.items()}
    with quiet():
        return make(setting, **whole)
