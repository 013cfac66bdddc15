"""What ends trials before their time: a table of names, by which [sweep] pruner finds them.

A pruner says in which stages trials are trained, and decides at the end of each but the last,
when all of a batch have come to it, in the order of their slots.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    SuccessiveHalvingPruner,
    WilcoxonPruner,
)

from vaebench.core.errors import InputError
from vaebench.core.hyper import Hyper
from vaebench.core.registry import Registry
from vaebench.running.sweeps.setting import Setting
from vaebench.training.curves import interval

ON_CURVES = {"nll", "elbo"}
"""Targets that the learning curve foretells: its points are validation ELBOs."""
SEEDS_OF_STAGES = (2, 4)


@dataclass(frozen=True)
class Stage:
    """How far a trial is trained before it is judged again."""

    num_seeds: int
    """Runs of the trial, the first of its seeds, that are trained."""
    until: int | None = None
    """The step after which they pause; None: they go to their end."""


@dataclass(frozen=True)
class Pruning:
    """The stages of a trial, and what decides between them."""

    pruner: BasePruner
    stages: tuple[Stage, ...]
    """The last has all seeds, and no pause."""
    over_seeds: bool = False
    """Whether the values that it decides by are those of the seeds; else the mean of these."""


PRUNERS: Registry[Callable[..., Pruning]] = Registry("pruner")
Count = Annotated[int, Hyper(low=1)]
Factor = Annotated[int, Hyper(low=2)]
Share = Annotated[float, Hyper(low=0.0, high=1.0)]


def none(setting: Setting) -> Pruning:
    """Every trial goes to its end."""
    return Pruning(NopPruner(), (Stage(setting.num_seeds),))


def median(setting: Setting, *, rungs: Count = 3, startup: Count = 5) -> Pruning:
    """At even steps, a trial goes on where it is better than the median of all that ended."""
    _check_on_curves("median", setting)
    num_points = _num_points(setting)
    points = sorted({num_points * rung // (rungs + 1) for rung in range(1, rungs + 1)} - {0})
    return Pruning(MedianPruner(n_startup_trials=startup), _paused_at(points, setting))


def halving(setting: Setting, *, factor: Factor = 3, first: Share = 0.1) -> Pruning:
    """Successive halving: from the share `first` of training on, each time that the steps have
    grown by `factor`, one trial in `factor` of those that came so far goes on (Li et al. 2020)."""
    _check_on_curves("halving", setting)
    points = _rungs(setting, factor, first)
    least = points[0] * _interval(setting)
    pruner = SuccessiveHalvingPruner(min_resource=least, reduction_factor=factor)
    return Pruning(pruner, _paused_at(points, setting))


def hyperband(setting: Setting, *, factor: Factor = 3, first: Share = 0.1) -> Pruning:
    """Successive halving that begins at an earlier or a later rung, for different trials, as their
    best is not known (Li et al. 2018)."""
    _check_on_curves("hyperband", setting)
    points = _rungs(setting, factor, first)
    pruner = HyperbandPruner(
        min_resource=points[0] * _interval(setting),
        max_resource=setting.num_steps,
        reduction_factor=factor,
    )
    return Pruning(pruner, _paused_at(points, setting))


def wilcoxon(setting: Setting, *, p: Share = 0.1) -> Pruning:
    """Seeds in stages, of 2, 4 and all: a trial goes on unless a signed-rank test over its seeds
    says that it is worse than the best one. Two seeds cannot say so at p = 0.1, four can."""
    if len(setting.targets) > 1:
        raise _several("wilcoxon", setting)
    if setting.num_seeds <= SEEDS_OF_STAGES[-1]:
        raise InputError(
            f"pruner 'wilcoxon' compares seeds, in stages of 2, 4 and all: the study needs "
            f"{SEEDS_OF_STAGES[-1] + 1} seeds at least; it has {setting.num_seeds}"
        )
    stages = tuple(Stage(num) for num in (*SEEDS_OF_STAGES, setting.num_seeds))
    return Pruning(WilcoxonPruner(p_threshold=p), stages, over_seeds=True)


for entry in (none, median, halving, hyperband, wilcoxon):
    PRUNERS.add(entry.__name__, entry)


def _interval(setting: Setting) -> int:
    return interval(setting.num_steps)


def _num_points(setting: Setting) -> int:
    return setting.num_steps // _interval(setting)


def _rungs(setting: Setting, factor: int, first: float) -> list[int]:
    """Points of the learning curve at which trials are halved, each `factor` times the last; a
    trial that goes on has `factor` times as far to go at least."""
    points = [max(1, round(first * _num_points(setting)))]
    while points[-1] * factor * factor <= _num_points(setting):
        points.append(points[-1] * factor)
    return points


def _paused_at(points: list[int], setting: Setting) -> tuple[Stage, ...]:
    """Stages that end at points of the learning curve, and one that goes to the end."""
    steps = [point * _interval(setting) for point in points]
    paused = (Stage(setting.num_seeds, step) for step in steps if step < setting.num_steps)
    return (*paused, Stage(setting.num_seeds))


def _check_on_curves(name: str, setting: Setting) -> None:
    """Raises InputError for a search whose target no learning curve foretells."""
    if len(setting.targets) > 1:
        raise _several(name, setting)
    if not set(setting.targets) <= ON_CURVES:
        raise InputError(
            f"pruner {name!r} judges by the validation ELBO along training, so its target must be "
            f"'nll' or 'elbo'; got {setting.targets[0]!r}: choose 'none' or 'wilcoxon'"
        )
    if "train.num_steps" in setting.distributions:
        raise InputError(
            f"pruner {name!r} compares trials at equal steps of equal trainings: take "
            f"train.num_steps out of [sweep.space]"
        )


def _several(name: str, setting: Setting) -> InputError:
    return InputError(
        f"pruner {name!r} takes one target; got {', '.join(setting.targets)}: choose 'none'"
    )
