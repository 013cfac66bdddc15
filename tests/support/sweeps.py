"""Searches whose runs are a formula: nothing is trained, and every write can be the last."""

import math
from collections import Counter
from dataclasses import dataclass, field

from msgspec.structs import replace

from vaebench.config import parse
from vaebench.config.sweep import Budget, SweepConfig
from vaebench.results import Metric, Record, Training
from vaebench.running.meter import UNSEEN
from vaebench.running.recording import labels
from vaebench.running.sweeps.clock import Clock
from vaebench.running.sweeps.goals import USUAL, Goals, goals_of
from vaebench.running.sweeps.outcome import amount
from vaebench.running.sweeps.pruners import PRUNERS
from vaebench.running.sweeps.rounds import Rounds, Tuned
from vaebench.running.sweeps.samplers import SAMPLERS
from vaebench.running.sweeps.search import Search
from vaebench.running.sweeps.setting import Setting, construct
from vaebench.running.sweeps.space import search_space
from vaebench.running.sweeps.steppings import Steppings
from vaebench.running.sweeps.storage import open_study
from vaebench.running.sweeps.variants import Variant

NUM_STEPS, EVERY = 80, 2
TINY = {
    "likelihood": "bernoulli",
    "data": {"name": "digits", "binarisation": "threshold"},
    "model": {"latent_dim": 2, "widths": [8]},
    "train": {"num_steps": NUM_STEPS, "batch_size": 16},
    "evaluate": {"num_samples": 3, "num_images": 20},
}
DIVERGES = 8e-3
"""Learning rates above this are lost."""


class KilledError(BaseException):
    """Stands in for kill -9: nothing in the search may catch it."""


def nll_of(config, step=NUM_STEPS):
    """Best at the learning rate 1e-3 and beta = 1; it falls along training, unlike for each run."""
    rate = math.log10(config.train.learning_rate)
    beta = math.log10(config.objective.hyper.get("beta", 1.0))
    left = (1.0 - step / NUM_STEPS) * (1.0 + abs(rate + 2.0))
    return (
        20.0 + (rate + 3.0) ** 2 + beta**2 + 3.0 * left + 0.05 * math.sin(7.0 * config.seed + rate)
    )


def record_of(config, stage):
    """The record of a run at the end of a stage."""
    until = stage.until or NUM_STEPS
    steps = range(EVERY, until + 1, EVERY)
    diverged = config.train.learning_rate > DIVERGES
    return Record(
        run=config.id,
        study="s",
        labels=labels(config, config.seed),
        status="diverged" if diverged else "done",
        reason="the loss was not finite" if diverged else "",
        metrics=[] if diverged else [Metric("valid_nll", nll_of(config), "nats", False)],
        curves={
            "step": [*map(float, steps)],
            "valid_elbo_nats": [-nll_of(config, step) for step in steps],
        },
        training=None if diverged else Training(until, NUM_STEPS, until),
    )


@dataclass
class Formula:
    """Stands in for a Place."""

    trained: Counter = field(default_factory=Counter)
    """How many runs were trained, by the step at which their stage ends."""

    def train(self, parts, session, on_steps):
        self.trained.update(part.stage.until for part in parts for _ in part.runs)
        return [{run.id: record_of(run, part.stage) for run in part.runs} for part in parts]

    def forget(self, runs, stages):
        pass


def variants(num_seeds=2, *objectives, space=None):
    """A variant for each objective, as far as a search needs it."""
    made_of = []
    for objective in objectives or ("beta_elbo",):
        first = parse({**TINY, "objective": objective})
        runs = tuple(replace(first, seed=seed) for seed in range(num_seeds))
        made_of.append(Variant(first.variant, runs, search_space(first, space or {})))
    return made_of


def searches(storage, variants, *, seed=0, trials=12, **section):
    """The search of each variant in a storage."""
    sweep = SweepConfig(seed=seed, **section)
    goals = goals_of(sweep, variants[0].runs[0])
    tuned = []
    for variant in variants:
        setting = Setting(
            variant.space.distributions,
            seed,
            sweep.batch,
            sweep.targets,
            len(variant.runs),
            NUM_STEPS,
            trials,
        )
        sampling = construct(SAMPLERS, sweep.sampler, setting)
        pruning = construct(PRUNERS, sweep.pruner, setting)
        stored = open_study(storage, variant.name, goals.directions, ["valid_nll"])
        search = Search(stored, variant.space.distributions, sampling, pruning, sweep.batch)
        tuned.append(Tuned(variant, search, Clock(stored, False), Steppings(stored, "never", 1)))
    return tuned


def play(tuned, budget=None, place=None, goals=None):
    """Play all rounds of a budget, as a sweep does."""
    goals = goals or Goals((USUAL["nll"],), {}, {"nll": USUAL["nll"]})
    rounds = Rounds(place or Formula(), goals, amount(budget or Budget(trials=12)))
    batches = rounds.turn([], tuned)
    while batches:
        rounds.play(batches, None, UNSEEN)
        batches = rounds.turn(batches, tuned)


def told(tuned):
    """What became of every trial, in memory; asserts that the same is stored."""
    ends = [_ends(one.search.told) for one in tuned]
    assert ends == [_ends(one.search.stored.get_trials()) for one in tuned]
    return ends


def _ends(trials):
    return [
        (t.number, t.params, t.values, t.state, t.intermediate_values, t.user_attrs, t.system_attrs)
        for t in trials
        if t.state.is_finished()
    ]
