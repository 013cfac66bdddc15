"""The coordinator: every slot once, and the same end however often it is killed."""

import contextlib
from dataclasses import replace

import msgspec
import pytest
from optuna.samplers import TPESampler
from optuna.trial import TrialState

from tests.support.sweeps import KilledError, play, searches, told, variants
from vaebench.config import Choice
from vaebench.config.sweep import Budget
from vaebench.ops.noise import key
from vaebench.running.sweeps.samplers import Sampling
from vaebench.running.sweeps.search import best
from vaebench.running.sweeps.storage import open_database, open_journal

MEDIAN = Choice("median", {"rungs": 3, "startup": 2})
HALVING = Choice("halving", {"factor": 2, "first": 0.1})
HYPERBAND = Choice("hyperband", {"factor": 2, "first": 0.05})
WAYS = {
    "tpe": {"sampler": Choice("tpe", {"startup": 3})},
    "gp": {"sampler": Choice("gp", {"startup": 3})},
    "cmaes": {"sampler": Choice("cmaes", {"popsize": 4})},
    "qmc": {"sampler": Choice("qmc")},
    "random": {"sampler": Choice("random")},
    "grid": {"sampler": Choice("grid", {"points": 4})},
    "median": {"pruner": MEDIAN},
    "halving": {"pruner": HALVING},
    "hyperband": {"pruner": HYPERBAND},
    "wilcoxon": {"pruner": Choice("wilcoxon")},
}
OBJECTIVES = ("beta_elbo", "elbo")
SEEDS = 6


def started(storage, way, **more):
    objectives = ("beta_elbo",) if way == "cmaes" else OBJECTIVES
    return searches(storage, variants(SEEDS, *objectives), **WAYS[way], **more)


def killed_after(num_calls, tuned, storage):
    """Play until the storage has been written to so many times, then stop dead."""
    backend = storage._backend
    write, calls = backend.write, iter(range(num_calls))

    def counted(logs):
        """Some of a write may be there when the process dies: the first of its lines."""
        last = next(calls, None) is None
        write(logs[: len(logs) // 2 + 1] if last else logs)
        if last:
            raise KilledError

    backend.write = counted
    with contextlib.suppress(KilledError):
        play(tuned)
        return False
    return True


@pytest.mark.parametrize("way", WAYS)
def test_killed_at_any_write_it_ends_where_it_would_have(way, tmp_path):
    whole = started(open_journal(tmp_path / "whole"), way)
    play(whole)
    path, num_kills = tmp_path / "cut", 0
    for num_calls in (0, 1, 0, 0, 1, 0, 1, 2):
        storage = open_journal(path)
        with contextlib.suppress(KilledError):
            num_kills += killed_after(num_calls, started(storage, way), storage)
    resumed = started(open_journal(path), way)
    play(resumed)
    assert num_kills >= 5
    assert told(resumed) == told(whole)
    assert [t.number for t in resumed[0].search.stored.get_trials()] == [*range(12)]


@pytest.mark.parametrize("way", ["median", "halving", "hyperband", "wilcoxon"])
def test_every_pruner_ends_some_trials_and_spares_steps(way, tmp_path):
    tuned = started(open_journal(tmp_path / "a"), way)
    play(tuned)
    trials = [t for one in tuned for t in one.search.told]
    pruned = [t for t in trials if t.state == TrialState.PRUNED]
    assert 0 < len(pruned) < len(trials) == 24
    for trial in pruned:
        assert trial.user_attrs["status"] == "pruned"
        assert 0 < trial.user_attrs["steps"] < SEEDS * 80
    spared = len(trials) * SEEDS * 80 - sum(t.user_attrs["steps"] for t in trials)
    assert spared > 0.1 * len(trials) * SEEDS * 80


def test_a_sqlite_database_gives_the_same_trials_as_the_journal(tmp_path):
    journal = started(open_journal(tmp_path / "a"), "halving")
    database = started(open_database(f"sqlite:///{tmp_path / 'b.db'}"), "halving")
    play(journal)
    play(database)
    assert told(database) == told(journal)


@pytest.mark.parametrize("num_calls", [1, 4, 9, 17, 26, 40])
def test_killed_at_any_write_of_a_database(num_calls, tmp_path, monkeypatch):
    from optuna.storages import RDBStorage

    whole = started(open_journal(tmp_path / "whole"), "halving")
    play(whole)
    url = f"sqlite:///{tmp_path / 'cut.db'}"
    calls = iter(range(num_calls))
    tuned = started(open_database(url), "halving")
    with monkeypatch.context() as patch:
        for name in (
            "create_new_trial",
            "set_trial_user_attr",
            "set_trial_system_attr",
            "set_trial_intermediate_value",
            "set_trial_state_values",
        ):
            patch.setattr(RDBStorage, name, _counted(getattr(RDBStorage, name), calls))
        with pytest.raises(KilledError):
            play(tuned)
    resumed = started(open_database(url), "halving")
    play(resumed)
    assert told(resumed) == told(whole)


def _counted(write, calls):
    def written(*arguments, **options):
        result = write(*arguments, **options)
        if next(calls, None) is None:
            raise KilledError
        return result

    return written


def test_another_seed_gives_other_trials(tmp_path):
    params = []
    for seed in (0, 1):
        (tuned,) = searches(open_journal(tmp_path / f"{seed}"), variants(1), seed=seed)
        play([tuned], Budget(trials=4))
        params.append([t.params for t in tuned.search.told])
    assert params[0] != params[1]


def test_tpe_finds_a_minimum(tmp_path):
    (tuned,) = searches(open_journal(tmp_path / "a"), variants(1))
    play([tuned], Budget(trials=40))
    chosen = best(tuned.search.memory)[0]
    assert chosen.values[0] < 20.2
    assert chosen.values[0] == min(t.values[0] for t in tuned.search.told)


def test_a_lost_trial_is_infinitely_bad_and_says_why(tmp_path):
    (tuned,) = searches(open_journal(tmp_path / "a"), variants(1), sampler=Choice("random"))
    play([tuned], Budget(trials=20))
    lost = [t for t in tuned.search.told if t.params["train.learning_rate"] > 8e-3]
    assert lost
    for trial in lost:
        assert trial.values == [float("inf")]
        assert trial.user_attrs["status"] == "diverged"
        assert trial.user_attrs["reason"] == "the loss was not finite"
    assert best(tuned.search.memory)[0] not in lost


def test_a_trial_that_another_program_failed_is_passed_over(tmp_path):
    (tuned,) = searches(open_journal(tmp_path / "a"), variants(1))
    play([tuned], Budget(trials=12))
    tuned.search.stored.tell(tuned.search.stored.ask(), state=TrialState.FAIL)
    (tuned,) = searches(open_journal(tmp_path / "a"), variants(1))
    play([tuned], Budget(trials=14))
    assert [trial.number for trial in tuned.search.told] == [*range(12), 13, 14]


def test_what_a_dashboard_shows_of_a_trial(tmp_path):
    (tuned,) = searches(open_journal(tmp_path / "a"), variants(2))
    play([tuned], Budget(trials=4))
    trial = tuned.search.stored.get_trials()[3]
    assert trial.number == trial.user_attrs["slot"] == 3
    assert set(trial.params) == {"train.learning_rate", "objective.beta"}
    assert trial.user_attrs["variant"] == "beta_elbo(beta=4)"
    assert len(trial.user_attrs["runs"]) == 2
    assert trial.user_attrs["steps"] == 160
    assert tuned.search.stored.metric_names == ["valid_nll"]


def test_tpe_that_is_told_its_space_is_that_of_optuna(tmp_path):
    """It reads the space off the trials before, and comes to the same, pruned and lost ones too."""
    trials = []
    for name in ("told", "read off"):
        (tuned,) = searches(open_journal(tmp_path / name), variants(2), pruner=MEDIAN, trials=24)
        if name == "read off":
            plain = Sampling(
                lambda slot: TPESampler(seed=key("sweep", 0, slot) % 2**32, n_startup_trials=10)
            )
            tuned.search.sampling = plain
        play([tuned], Budget(trials=24))
        trials.append([trial.params for trial in tuned.search.told])
    assert trials[0] == trials[1]


@pytest.mark.parametrize(
    ("budget", "trials"),
    [
        (Budget(trials=6), (6, 6)),
        (Budget(steps=5 * 160), (5, 5)),
        (Budget(steps=5 * 160 + 1), (6, 6)),
        (Budget(decoder_evaluations=8 * 160 * 16), (8, 2)),
    ],
)
def test_every_variant_gets_the_same_budget(budget, trials, tmp_path):
    """The second takes 5 samples a step; a trial begins while the budget is not spent."""
    one, other = variants(2, "elbo", "iwae")
    two = [one, replace(other, runs=tuple(with_samples(run, 5) for run in other.runs))]
    tuned = searches(open_journal(tmp_path / "a"), two, sampler=Choice("qmc"))
    play(tuned, budget)
    assert tuple(len(one.search.told) for one in tuned) == trials


def with_samples(config, num_samples):
    return msgspec.structs.replace(config, num_samples=num_samples)


def test_a_torn_last_line_is_cut_off(tmp_path):
    path = tmp_path / "a"
    play(searches(open_journal(path), variants(1)), Budget(trials=4))
    path.write_bytes(path.read_bytes()[:-17])
    (tuned,) = searches(open_journal(path), variants(1))
    play([tuned], Budget(trials=8))
    assert [t.number for t in tuned.search.told] == [*range(8)]
