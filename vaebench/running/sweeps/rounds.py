"""A round: the next batch of every variant, asked, trained side by side in stages, and told."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from vaebench import results
from vaebench.config import RunConfig
from vaebench.config.resolve import resolve
from vaebench.core.errors import InputError
from vaebench.report.training import ended
from vaebench.results import Record
from vaebench.running.coordinate import Session
from vaebench.running.meter import Meter
from vaebench.running.sweeps.clock import Clock
from vaebench.running.sweeps.goals import Goals
from vaebench.running.sweeps.outcome import Amount, Cost, Outcome, cost_of, in_full
from vaebench.running.sweeps.place import Part, Place
from vaebench.running.sweeps.pruners import Stage
from vaebench.running.sweeps.quiet import quiet
from vaebench.running.sweeps.search import Search, Trial
from vaebench.running.sweeps.space import Params
from vaebench.running.sweeps.steppings import Steppings
from vaebench.running.sweeps.storage import at_once
from vaebench.running.sweeps.variants import Variant

VALUES = "valid_elbo_nats"
"""The learning curve that pruners see; they minimise, so with its sign changed."""

IN_ATTRIBUTES = ("steps", "decoder_evaluations", "seconds")
"""The parts of a trial's cost that are its user attributes."""


@dataclass
class Tuned:
    """A variant with its search."""

    variant: Variant
    search: Search
    clock: Clock
    steppings: Steppings
    allowed: set[str] = field(default_factory=set)
    """Stack keys of runs that were checked against the data."""

    @functools.cached_property
    def spent(self) -> Cost:
        """What the trials that were told have taken; what tells further ones adds to it."""
        attributes = [trial.user_attrs for trial in self.search.told]
        costs = (Cost(1, *(kept[name] for name in IN_ATTRIBUTES)) for kept in attributes)
        return sum(costs, Cost())

    def runs_of(self, params: Params) -> list[RunConfig] | str:
        """The runs of a trial, one for each seed; or why they are refused."""
        first, *_ = self.variant.runs
        try:
            configured = self.variant.space.configured(first, params)
            if configured.stack_key not in self.allowed:
                resolve([configured])
                self.allowed.add(configured.stack_key)
        except InputError as error:
            resolve(self.variant.runs)  # a study that is refused by now, its data gone, stops all
            return str(error)
        return [msgspec.structs.replace(configured, seed=c.seed) for c in self.variant.runs]


@dataclass
class Contender:
    """A trial of the round, and its outcome once it has one."""

    trial: Trial
    runs: list[RunConfig]
    step_ms: float
    outcome: Outcome | None = None
    records: dict[str, Record] = field(default_factory=dict)
    """The records of its runs so far, by id."""

    def to_train(self, stage: Stage, before: Stage | None) -> list[RunConfig]:
        """The runs that a stage trains: those that paused, or the seeds that are added."""
        first = before.num_seeds if before is not None and before.until is None else 0
        return self.runs[first : stage.num_seeds]


@dataclass(frozen=True)
class Batch:
    """The trials of one variant in a round, in the order of their slots."""

    tuned: Tuned
    contenders: list[Contender]

    @property
    def stages(self) -> Sequence[Stage]:
        """The stages of its trials."""
        return self.tuned.search.pruning.stages

    def before(self, index: int) -> Stage | None:
        """The stage before one; None for the first."""
        return self.stages[index - 1] if index else None

    def going(self) -> list[Contender]:
        """The trials that have no outcome yet."""
        return [contender for contender in self.contenders if contender.outcome is None]

    def part(self, index: int) -> Part:
        """What is trained in a stage."""
        stage, before = self.stages[index], self.before(index)
        since = before if before is not None and before.until is not None else None
        runs = [run for c in self.going() for run in c.to_train(stage, before)]
        return Part(runs, stage, since, self.tuned.steppings)


@dataclass(frozen=True)
class Rounds:
    """What all rounds of a sweep share."""

    place: Place
    goals: Goals
    amount: Amount

    def turn(self, ended: Sequence[Batch], tuned: Sequence[Tuned]) -> list[Batch]:
        """Tell how the trials of a round ended, and ask for the next of every variant that has
        something left of its budget; all is stored in one go, as workers wait for it."""
        with quiet(), at_once(tuned[0].search.stored._storage):
            self._tell(ended)
            batches = [Batch(one, self._asked(one)) for one in tuned]
        return [batch for batch in batches if batch.contenders]

    def _asked(self, tuned: Tuned) -> list[Contender]:
        """The next trials of a variant, while its budget lasts.

        Trials of the batch count in full, as they may go to their end; one that is refused counts
        as if it had been trained, so that every search ends.
        """
        contenders: list[Contender] = []
        spent, slots = tuned.spent, tuned.search.next_slots()
        for slot in slots:
            if self.amount.is_spent(spent):
                break

            trial = tuned.search.ask(slot)
            runs = tuned.runs_of(trial.params)
            ids = [] if isinstance(runs, str) else [config.id for config in runs]
            described = {"variant": tuned.variant.name, "runs": ids}
            tuned.search.keep(trial, slots.start, described)
            contenders.append(self._contender(tuned, trial, runs))
            spent += in_full(contenders[-1].runs, contenders[-1].step_ms)
        return contenders

    def _contender(self, tuned: Tuned, trial: Trial, runs: list[RunConfig] | str) -> Contender:
        """`runs`: those of the trial, or why they are refused."""
        if isinstance(runs, str):
            cost = in_full(tuned.variant.runs, 0.0)
            return Contender(
                trial, list(tuned.variant.runs), 0.0, self._lost("refused", runs, cost)
            )
        return Contender(trial, runs, tuned.clock.step_ms(runs))

    def play(self, batches: Sequence[Batch], session: Session, meter: Meter) -> None:
        """Train the trials of a round in stages; after each but the last, decide which go on.

        Trials of one variant are judged in the order of their slots, and when all have come to the
        end of the stage.
        """
        for index in range(max(len(batch.stages) for batch in batches)):
            playing = [batch for batch in batches if index < len(batch.stages)]
            parts = [batch.part(index) for batch in playing]
            records = self.place.train(parts, session, meter)
            for batch, of_batch in zip(playing, records, strict=True):
                stage, is_last = batch.stages[index], index == len(batch.stages) - 1
                for contender in batch.going():
                    mine = contender.to_train(stage, batch.before(index))
                    contender.records |= {run.id: of_batch[run.id] for run in mine}
                    contender.outcome = self._judged(batch.tuned, contender, stage, is_last)

    def _tell(self, batches: Sequence[Batch]) -> None:
        """Tell every trial's outcome, in the order of their slots.

        Checkpoints go first: they would stay where this is killed once a trial is told.
        """
        for batch in batches:
            for contender in batch.contenders:
                self.place.forget(contender.runs, batch.stages)
            for contender in batch.contenders:
                outcome = contender.outcome
                assert outcome is not None, "the last stage ends every trial"
                batch.tuned.spent += outcome.cost
                batch.tuned.search.tell(contender.trial, outcome, self._attributes(outcome))

    def _judged(
        self, tuned: Tuned, contender: Contender, stage: Stage, is_last: bool
    ) -> Outcome | None:
        """How a trial ended with a stage; None where it goes on."""
        records = [contender.records[c.id] for c in contender.runs[: stage.num_seeds]]
        cost = _cost(contender, stage)
        for record in records:
            if record.status != "done":
                reason = record.reason.strip().rpartition("\n")[2]
                return self._lost(record.status, reason, cost)
        if is_last:
            return self._ended(records, contender, cost)
        reports = self._reports(tuned, records, stage)
        if not tuned.search.is_pruned(contender.trial, reports):
            return None
        where = f"{stage.num_seeds} seeds" if stage.until is None else f"step {stage.until}"
        return Outcome((), "pruned", f"after {where}", cost=cost)

    def _reports(self, tuned: Tuned, records: Sequence[Record], stage: Stage) -> dict[int, float]:
        """What a pruner sees of a trial at the end of a stage: values by step, or by seed."""
        if not tuned.search.pruning.over_seeds:
            curves = [[v for v in record.curves[VALUES] if v is not None] for record in records]
            sign = 1.0 if self.goals.targets[0].higher_is_better else -1.0
            assert stage.until is not None
            return {stage.until: sign * math.fsum(c[-1] for c in curves) / len(curves)}
        return {
            seed: self.goals.measured([record], 0.0)[self.goals.targets[0].name]
            for seed, record in enumerate(records)
        }

    def _ended(self, records: Sequence[Record], contender: Contender, cost: Cost) -> Outcome:
        measured = self.goals.measured(records, contender.step_ms)
        if lost := [name for name, value in measured.items() if not math.isfinite(value)]:
            return self._lost("diverged", f"{', '.join(lost)} is not finite", cost)
        return Outcome(
            tuple(measured[goal.name] for goal in self.goals.targets),
            training=_training(records),
            measured=measured,
            constraints=self.goals.exceeded(measured),
            cost=cost,
        )

    def _attributes(self, outcome: Outcome) -> Mapping[str, Any]:
        """What a trial's user attributes say of its outcome."""
        cost = {name: getattr(outcome.cost, name) for name in IN_ATTRIBUTES}
        words = {"status": outcome.status, "reason": outcome.reason, "training": outcome.training}
        measured = {self.goals.by_name[n].column: value for n, value in outcome.measured.items()}
        return {**words, **measured, **cost}

    def _lost(self, status: Any, reason: str, cost: Cost) -> Outcome:
        """An outcome that is worse than any other."""
        worst = tuple(goal.worst for goal in self.goals.targets)
        return Outcome(worst, status, reason, cost=cost)


def _training(records: Sequence[Record]) -> str:
    """Which runs did not go to their end with their last weights, in words; "" where all did."""
    trained = [record.training for record in records if record.training]
    if all(t.kept == t.num_steps for t in trained):
        return ""
    return ended(results.frame(records).drop_duplicates("run"))


def _cost(contender: Contender, stage: Stage) -> Cost:
    """What a trial has taken up to the end of a stage."""
    cost = Cost(trials=1)
    for config in contender.runs[: stage.num_seeds]:
        training = contender.records[config.id].training
        last = config.train.num_steps if stage.until is None else stage.until
        cost += cost_of(config, training.steps if training else last, contender.step_ms)
    return cost
