"""Whether what users' files define keeps the runs of a stack apart: tried before it is trained.

A run is one configuration with one id, whatever it trains beside. A function of the user's own that
reduces over the runs (axis S) would give one id as many values as there are sizes of stacks.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from msgspec.structs import replace
from torch import Tensor

from vaebench.config import RunConfig
from vaebench.config.build import build_stack, streams
from vaebench.core.errors import InputError
from vaebench.core.user_code import package_of
from vaebench.data import Dataset
from vaebench.models import VAE, select
from vaebench.objectives import OBJECTIVES
from vaebench.training.minibatches import batches
from vaebench.training.scalars import scalars
from vaebench.training.stages import STAGES, Stage, Trial
from vaebench.training.step import initial_state, loss_of


class Precision(NamedTuple):
    """How a step is tried."""

    dtype: torch.dtype
    examples: int | None
    """At most so many of the batch; None: all."""
    tolerance: float
    """Share of the largest number within which two are one."""


PRECISIONS = (Precision(torch.float64, 32, 1e-6), Precision(torch.float32, None, 1e-4))
"""The second is as in training, for functions that do not work in float64."""
KNOWN_PACKAGES = {"vaebench", "torch", ""}
"""Packages whose functions keep runs apart; what PyTorch has in C, as torch.sigmoid, names none."""


def check_isolated(configs: Sequence[RunConfig], dataset: Dataset, device: torch.device) -> None:
    """Raises InputError where a part from outside the package gives a run other numbers, or another
    gradient, beside another run than alone.

    Tried on two runs with different seeds, however many the stack has. A stage that raises is left
    to training, which says so: what cannot take two runs is not trained beside another.
    """
    untried = [stage for stage in STAGES if _is_foreign(stage, configs[0])]
    if not untried:
        return
    pair = configs[0], replace(configs[-1], seed=_other_seed(configs))
    with torch.random.fork_rng(devices=[]):  # who draws from it is to find it as it was
        for precision in PRECISIONS:
            steps = list(_steps(pair, dataset, device, precision))
            untried = [s for s in untried if not _is_isolated(s, steps, precision, pair[0])]


def _other_seed(configs: Sequence[RunConfig]) -> int:
    """The seed of the second run: two with the same weights would hide a mean over them."""
    first, last = configs[0].seed, configs[-1].seed
    return last if last != first else int(first == 0)


def _is_foreign(stage: Stage, config: RunConfig) -> bool:
    entry = stage.registry[stage.name(config)]
    return not {package_of(function) for function in _functions(entry)} <= KNOWN_PACKAGES


def _functions(part: Any) -> Iterator[Callable[..., Any]]:
    """All that an entry of a registry is made of."""
    if isinstance(part, functools.partial):
        yield part.func
    elif dataclasses.is_dataclass(part):
        for field in dataclasses.fields(part):
            yield from _functions(getattr(part, field.name))
    elif isinstance(part, Mapping):
        for value in part.values():
            yield from _functions(value)
    elif callable(part):
        yield part


Step = tuple[Trial, list[Trial]]
"""A trial of runs side by side, and a trial of each alone."""


def _steps(
    configs: Sequence[RunConfig], dataset: Dataset, device: torch.device, precision: Precision
) -> Iterator[Step]:
    """A step with the scalars of the first, and one with those of the last and the state after one:
    at the start a schedule may be at 0, and the states of all runs are alike."""
    model = build_stack(configs, dataset.image_shape, dataset.log_volume)
    model = model.to(device, precision.dtype)
    both = _first_step(model, configs, dataset, precision)
    alone = [
        _first_step(select(model, [run]), [config], dataset, precision)
        for run, config in enumerate(configs)
    ]
    yield both, alone
    try:
        yield (
            _last_step(both, configs),
            [_last_step(t, [c]) for t, c in zip(alone, configs, strict=True)],
        )
    except Exception:  # whatever a function of the user's may raise, training meets it too
        return


def _first_step(
    model: VAE, configs: Sequence[RunConfig], dataset: Dataset, precision: Precision
) -> Trial:
    first, place = configs[0], next(model.parameters())
    objective = OBJECTIVES[first.objective.name]
    x = next(next(batches(configs, dataset, place)).microbatches(0, first.train.accumulate))
    loss = loss_of(first, dataset)
    state = initial_state(objective, len(configs), place)
    of_step = scalars(configs, place)(0).with_state(state)
    x = x[:, : precision.examples].to(place.dtype)
    return Trial(model, x, streams(configs, "train"), loss, of_step)


def _last_step(first: Trial, configs: Sequence[RunConfig]) -> Trial:
    """The last step, with the state that the first one leaves."""
    state = first.loss.next_state(first.terms(), first.scalars)
    of_step = scalars(configs, first.x)(configs[0].train.num_steps - 1)
    return dataclasses.replace(first, scalars=of_step.with_state(state))


def _is_isolated(
    stage: Stage, steps: Sequence[Step], precision: Precision, config: RunConfig
) -> bool:
    """Whether it could be tried. Raises InputError where it mixes runs, or cannot be repeated."""
    for both, alone in steps:
        try:
            problem = _problem(stage, both, alone, precision.tolerance)
        except Exception:
            return False
        if problem:
            raise InputError(f"{stage.registry.kind} {stage.name(config)!r} must {problem}")
    return True


def _problem(stage: Stage, both: Trial, alone: Sequence[Trial], tolerance: float) -> str:
    """What is wrong where a run is given beside another what it is not given alone, and what to do;
    "" where it is given the same."""
    stacked = both.numbers(stage)
    for run, trial in enumerate(alone):
        single = trial.numbers(stage)
        difference = _compared(stage.what, stacked, run, single, tolerance)
        if difference and _compared(stage.what, trial.numbers(stage), 0, single, tolerance):
            return (
                f"give a run the same twice; its {stage.what} is another when it is asked again, "
                f"as of random numbers that depend on what ran before: draw them by vb.normals or "
                f"vb.uniforms from the noise of the run (in an objective: its terms' noise)"
            )
        if difference:
            return (
                f"keep the runs of a stack apart (axis S); beside another run it gives "
                f"{difference}: reduce the K samples (axis 0 of [K, S, B]) or the B examples (the "
                f"last axis) and never all axes at once"
            )
    return ""


def _compared(
    what: str, stacked: Sequence[Tensor], run: int, single: Sequence[Tensor], tolerance: float
) -> str:
    (value, *slopes), (other, *other_slopes) = [t[run] for t in stacked], [t[0] for t in single]
    if not _close([value], [other], tolerance):
        at = (value - other).abs().nan_to_num(nan=torch.inf).argmax()
        return (
            f"the {what} {value.flatten()[at]:.6g} where alone it gives {other.flatten()[at]:.6g}"
        )
    same = _close(slopes, other_slopes, tolerance)
    return "" if same else f"another gradient of its {what} than alone"


def _close(some: Sequence[Tensor], others: Sequence[Tensor], tolerance: float) -> bool:
    sizes = [t.abs().nan_to_num(0.0, 0.0).max().item() for t in (*some, *others) if t.numel()]
    allowed = tolerance * max([0.0, *sizes])
    return all(
        torch.allclose(a, b, rtol=0.0, atol=allowed, equal_nan=True)
        for a, b in zip(some, others, strict=True)
    )
