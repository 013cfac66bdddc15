"""The search of one variant: trials in numbered slots, asked in batches and told in order.

All that chooses and prunes works on a copy of the search in memory, which is made again from the
trials that are stored. A trial is stored at once with all that it drew, and told at once; what lies
between is a function of the records of its runs. So a search that was killed at any moment goes on
to the same end, with any storage.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.study._tell import _tell_with_warning
from optuna.trial import FrozenTrial, TrialState

from vaebench.running.sweeps.outcome import Outcome
from vaebench.running.sweeps.pruners import Pruning
from vaebench.running.sweeps.quiet import quiet
from vaebench.running.sweeps.samplers import Sampling
from vaebench.running.sweeps.space import Params

BATCH, SLOT = "batch", "slot"
"""User attributes: the first slot of a trial's batch, and the trial's own."""


@dataclass(frozen=True)
class Trial:
    """A trial of the batch at work."""

    slot: int
    asked: optuna.Trial
    params: Params
    """What it has drawn, by dotted place."""
    is_stored: bool
    """Whether it was stored before, by a sweep that was stopped."""


class Search:
    """One variant's trials: those that are stored, and their copy in memory that decides."""

    def __init__(
        self,
        stored: optuna.Study,
        distributions: Mapping[str, BaseDistribution],
        sampling: Sampling,
        pruning: Pruning,
        batch: int,
    ) -> None:
        self.stored, self.distributions, self.batch = stored, distributions, batch
        self.sampling, self.pruning = sampling, pruning
        kept = stored.get_trials(deepcopy=False)
        unfinished = [t for t in kept if not t.state.is_finished()]
        first = unfinished[0].user_attrs[BATCH] if unfinished else len(kept)
        self.at_work: list[FrozenTrial] = kept[first:]
        """The stored trials of a batch that was not told to its end."""
        with quiet():
            self.memory = optuna.create_study(
                study_name=stored.study_name,
                directions=stored.directions,
                pruner=pruning.pruner,
                sampler=optuna.samplers.RandomSampler(seed=0),
            )
            self.memory.add_trials(kept[:first])
        self.told = self.memory.get_trials(
            deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)
        )
        """The trials that have ended, by their slots; not those that another program failed."""
        self.leader = leader(self.memory, self.told)
        """The best in the first target so far."""
        self.counts = Counter(str(trial.user_attrs["status"]) for trial in self.told)
        """How many trials have ended how."""

    def next_slots(self) -> range:
        """The slots of the next batch, of which fewer may be asked."""
        first = len(self.memory.get_trials(deepcopy=False))
        end, most = (first // self.batch + 1) * self.batch, self.sampling.most_trials
        return range(first, end if most is None else min(end, most))

    def ask(self, slot: int) -> Trial:
        """The trial of a slot; one that is stored is what it was."""
        if self.at_work:
            stored = self.at_work.pop(0)
            assert stored.user_attrs[SLOT] == slot, "trials are asked in the order of their slots"
            return Trial(slot, self._begun(_as_asked(stored)), stored.params, is_stored=True)
        self.memory.sampler = self.sampling.sampler_of(slot)
        trial = self._begun(None)
        params = {name: _suggest(trial, name, d) for name, d in self.distributions.items()}
        return Trial(slot, trial, params, is_stored=False)

    def keep(self, trial: Trial, batch: int, attributes: Mapping[str, Any]) -> None:
        """Store a trial that was asked, where it is not.

        `batch`: the first slot of its batch. `attributes`: its user attributes.
        """
        if trial.is_stored:
            return
        self._note(trial, {SLOT: trial.slot, BATCH: batch, **attributes})
        self.stored.add_trial(self._in_memory(trial))

    def is_pruned(self, trial: Trial, reports: Mapping[int, float]) -> bool:
        """Report a trial's values by step, and decide whether it ends there."""
        with quiet():
            for step, value in reports.items():
                trial.asked.report(value, step)
            return bool(trial.asked.should_prune())

    def tell(self, trial: Trial, outcome: Outcome, attributes: Mapping[str, Any]) -> None:
        """End a trial, in memory and where it is stored."""
        self._note(trial, attributes)
        for limit, amount in outcome.constraints.items():
            trial.asked.set_constraint(limit, amount)
        pruned = outcome.status == "pruned"
        state = TrialState.PRUNED if pruned else TrialState.COMPLETE
        # As `Study.tell`, which would return a deep copy of the trial.
        _tell_with_warning(
            self.memory, trial.asked, None if pruned else list(outcome.values), state
        )
        ended = self._in_memory(trial)
        self.told.append(ended)
        self.counts[outcome.status] += 1
        self.leader = leader(self.memory, [*filter(None, [self.leader]), ended])
        self._store(ended)

    def _begun(self, trial: FrozenTrial | None) -> optuna.Trial:
        """A trial that begins in memory, as one that was asked before or with nothing drawn."""
        study = self.memory
        return optuna.Trial(study, study._storage.create_new_trial(study._study_id, trial))

    def _note(self, trial: Trial, attributes: Mapping[str, Any]) -> None:
        """Add user attributes to a trial in memory, all at once."""
        frozen = self._in_memory(trial)
        frozen.user_attrs = {**frozen.user_attrs, **attributes}

    def _in_memory(self, trial: Trial) -> FrozenTrial:
        return self.memory._storage.get_trial(trial.asked._trial_id)

    def _store(self, ended: FrozenTrial) -> None:
        """Make a stored trial what it is in memory; its end is written last, and at once."""
        before = self.stored._storage.get_trial(self._id_of(ended.number))
        if before.state.is_finished():
            return
        storage, trial_id = self.stored._storage, before._trial_id
        for step, value in ended.intermediate_values.items():
            if step not in before.intermediate_values:
                storage.set_trial_intermediate_value(trial_id, step, value)
        for name, value in ended.user_attrs.items():
            if before.user_attrs.get(name) != value:
                storage.set_trial_user_attr(trial_id, name, value)
        for name, value in ended.system_attrs.items():
            if before.system_attrs.get(name) != value:
                storage.set_trial_system_attr(trial_id, name, value)
        storage.set_trial_state_values(trial_id, ended.state, ended.values)

    def _id_of(self, number: int) -> int:
        storage = self.stored._storage
        return storage.get_trial_id_from_study_id_trial_number(self.stored._study_id, number)


LATER = ("completed_rung_", "constraints")
"""How system attributes begin that trials get after they were asked."""


def _as_asked(stored: FrozenTrial) -> FrozenTrial:
    """A stored trial as it was when it was asked."""
    kept = {n: v for n, v in stored.system_attrs.items() if not n.startswith(LATER)}
    return optuna.trial.create_trial(
        state=TrialState.RUNNING,
        params=stored.params,
        distributions=stored.distributions,
        user_attrs=stored.user_attrs,
        system_attrs=kept,
    )


def _suggest(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> Any:
    match distribution:
        case FloatDistribution(low=low, high=high, log=log):
            return trial.suggest_float(name, low, high, log=log)
        case IntDistribution(low=low, high=high, log=log):
            return trial.suggest_int(name, low, high, log=log)
        case CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(name, choices)
        case _:
            raise TypeError(f"no way to draw from {distribution}")


def best(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that no other beats in every target, of those that were not lost and keep all
    limits: best in the first target first, of equal ones the earliest."""
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    losses = {t.number: _losses(study, t) for t in trials if _is_fair(t)}
    front: list[int] = []
    for number in sorted(losses, key=lambda number: (losses[number], number)):
        mine = losses[number]
        beaten = (all(a <= b for a, b in zip(losses[other], mine, strict=True)) for other in front)
        if not any(beaten):
            front.append(number)
    by_number = {t.number: t for t in trials}
    return [by_number[number] for number in front]


def leader(study: optuna.Study, trials: Iterable[FrozenTrial]) -> FrozenTrial | None:
    """The first of the `best` of these trials; None where there is none."""
    fair = (t for t in trials if t.state == TrialState.COMPLETE and _is_fair(t))
    return min(fair, key=lambda t: (_losses(study, t), t.number), default=None)


def _losses(study: optuna.Study, trial: FrozenTrial) -> tuple[float, ...]:
    """The values of a trial, the less the better."""
    high = (d == optuna.study.StudyDirection.MAXIMIZE for d in study.directions)
    return tuple(-v if is_high else v for is_high, v in zip(high, trial.values, strict=True))


def _is_fair(trial: FrozenTrial) -> bool:
    """Whether a trial has finite values and keeps all limits."""
    return all(map(math.isfinite, trial.values)) and all(v <= 0 for v in trial.constraints.values())
