"""What chooses the trials of a search: a table of names, by which [sweep] sampler finds them.

A trial is chosen from its slot, the search's seed and the trials of earlier batches, and from
nothing else: what a sampler keeps from slot to slot follows from these. So the same seed gives the
same trials, however often the search was stopped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, QMCSampler
from optuna.trial import FrozenTrial

from vaebench.core.errors import InputError
from vaebench.core.hyper import Hyper
from vaebench.core.registry import Registry
from vaebench.running.sweeps.parzen import ParzenSampler
from vaebench.running.sweeps.setting import Setting

MOST_OF_GP = 500
"""Trials that a Gaussian process is fitted to at most: its time grows with their cube."""


@dataclass(frozen=True)
class Sampling:
    """A way to choose trials."""

    sampler_of: Callable[[int], BaseSampler]
    """The sampler that is asked for the trial of a slot."""
    most_trials: int | None = None
    """How many trials there are; None: as many as are asked for."""


SAMPLERS: Registry[Callable[..., Sampling]] = Registry("sampler")
Count = Annotated[int, Hyper(low=1)]


def tpe(setting: Setting, *, startup: Count = 10) -> Sampling:
    """Tree-structured Parzen estimators, after `startup` random trials (Bergstra et al. 2011)."""
    return Sampling(ParzenSampler(setting, startup).at)


def gp(setting: Setting, *, startup: Count = 10) -> Sampling:
    """A Gaussian process; those of a batch are chosen one by one, each knowing of the last."""
    if (setting.most_trials or 0) > MOST_OF_GP:
        raise InputError(
            f"sampler 'gp' takes at most {MOST_OF_GP} trials, as its time grows with their cube; "
            f"got {setting.most_trials}: choose 'tpe'"
        )
    return Sampling(
        lambda slot: GPSampler(seed=setting.seed_of(slot), n_startup_trials=startup), MOST_OF_GP
    )


def cmaes(setting: Setting, *, popsize: Count = 8) -> Sampling:
    """CMA-ES, a generation of `popsize` trials at a time; choices are drawn at random."""
    if popsize % setting.batch:
        raise InputError(
            f"sampler 'cmaes' needs a popsize that is a multiple of the batch, as a generation is "
            f"told at once; got popsize = {popsize} and batch = {setting.batch}"
        )
    _check_one_target("cmaes", setting)
    numbers = [d for d in setting.distributions.values() if not _is_choice(d)]
    if len(numbers) < 2:
        raise InputError(
            f"sampler 'cmaes' needs two ranges of numbers at least; got {len(numbers)}: choose "
            f"'tpe'"
        )
    return Sampling(
        lambda slot: CmaEsSampler(
            seed=setting.seed_of(slot), popsize=popsize, warn_independent_sampling=False
        )
    )


def qmc(setting: Setting) -> Sampling:
    """A scrambled Sobol sequence, which covers the space evenly; whatever the values are."""
    return Sampling(lambda slot: _SobolPoint(setting, slot))


def random(setting: Setting) -> Sampling:
    """Each trial by itself, uniform over its ranges, or over their logarithms."""
    return Sampling(lambda slot: optuna.samplers.RandomSampler(seed=setting.seed_of(slot)))


def grid(setting: Setting, *, points: Annotated[int, Hyper(low=2)] = 5) -> Sampling:
    """Every combination once: of all choices, and of so many even points of each range."""
    axes = {name: _points(d, points) for name, d in setting.distributions.items()}
    return Sampling(
        lambda slot: _GridPoint(axes, slot), math.prod(len(axis) for axis in axes.values())
    )


for entry in (tpe, gp, cmaes, qmc, random, grid):
    SAMPLERS.add(entry.__name__, entry)


class _SobolPoint(QMCSampler):  # type: ignore[misc]
    """The point of the sequence that belongs to a slot, whatever was asked for before."""

    def __init__(self, setting: Setting, slot: int) -> None:
        super().__init__(seed=setting.seed, scramble=True, warn_independent_sampling=False)
        self.space, self.slot = dict(setting.distributions), slot

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self.space

    def _find_sample_id(
        self, study: optuna.Study, search_space: dict[str, BaseDistribution]
    ) -> int:
        return self.slot


class _GridPoint(BaseSampler):  # type: ignore[misc]
    """The combination that belongs to a slot; the last place changes fastest."""

    def __init__(self, axes: Mapping[str, list[Any]], slot: int) -> None:
        self.params: dict[str, Any] = {}
        for name, axis in reversed(list(axes.items())):
            slot, position = divmod(slot, len(axis))
            self.params[name] = axis[position]

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        return self.params[param_name]


def _is_choice(distribution: BaseDistribution) -> bool:
    return isinstance(distribution, CategoricalDistribution)


def _check_one_target(name: str, setting: Setting) -> None:
    if len(setting.targets) > 1:
        raise InputError(
            f"sampler {name!r} takes one target; got {', '.join(setting.targets)}: choose 'tpe'"
        )


def _points(distribution: BaseDistribution, num: int) -> list[Any]:
    """All choices; or points of a range, its ends among them, evenly (or by their logarithms)."""
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high, shares = distribution.low, distribution.high, [i / (num - 1) for i in range(num)]
    if distribution.log:
        inner = [low * (high / low) ** share for share in shares[1:-1]]
    else:
        inner = [low + (high - low) * share for share in shares[1:-1]]
    if isinstance(distribution, IntDistribution):
        return sorted({low, *map(round, inner), high})
    return [low, *inner, high]
