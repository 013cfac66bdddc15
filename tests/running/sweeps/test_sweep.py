"""From a study to a folder: what is trained, on which part it is judged, and what is written."""

import itertools
import math
import string
import warnings
from collections import Counter

import msgspec
import pytest
from click.testing import CliRunner
from pandas import read_csv

from tests.running.sweeps.conftest import RANGE, piwae
from vaebench import results
from vaebench.config.study import expand, read
from vaebench.config.sweep import Budget
from vaebench.core.errors import InputError, InputWarning
from vaebench.results.files import HERE
from vaebench.running.coordinate import Account
from vaebench.running.events import Begun, Lost, Recorded
from vaebench.running.executors import local
from vaebench.running.harness import run_all
from vaebench.running.meter import silent
from vaebench.running.recording import labels
from vaebench.running.sweeps import clock
from vaebench.running.sweeps import sweep as module
from vaebench.running.sweeps.figures import folder_names
from vaebench.running.sweeps.rounds import Tuned
from vaebench.running.sweeps.sweep import sweep
from vaebench.running.sweeps.variants import variants_of

WORDS = {*string.ascii_letters, *string.digits, *"_.=-"}
TWO = ("seed = [0, 1]", 'seed = [0, 1]\nobjective = ["beta_elbo", "elbo"]')


class KilledError(BaseException):
    """Stands in for kill -9: nothing in the sweep may catch it."""


def tune(study, out, num_trials, **more):
    return sweep(study, out, Budget(trials=num_trials), executor="inline", timings=False, **more)


@pytest.mark.parametrize(("target", "is_best"), [("nll", min), ("elbo", max)])
def test_trials_are_judged_on_the_validation_part_alone(study, tmp_path, target, is_best):
    out = tmp_path / "out"
    table = tune(study(target), out, 4)
    rows = results.load(out / "trials")
    assert set(rows["metric"]) == {"valid_nll", "valid_elbo"}
    metric = f"valid_{target}"
    values = rows[rows["metric"] == metric].groupby("hyper")["value"].mean()
    assert sorted(values) == pytest.approx(sorted(table[metric]))
    assert table[metric][0] == is_best(table[metric])
    assert table["objective.beta"].between(0.1, 10).all()
    assert not list((out / "trials" / "weights").iterdir())


def test_the_bounds_of_a_trial_are_those_of_a_grading_in_full(study, tmp_path):
    tune(study(), tmp_path / "out", 1)
    (config,) = expand(read(tmp_path / "out" / "best.toml"))
    config = msgspec.structs.replace(config, seed=1)
    run_all([config], tmp_path / "whole", "s", executor="inline", timings=False)
    whole, trial = (
        {m.metric: m.value for m in results.read(out, config.id).metrics}
        for out in (tmp_path / "whole", tmp_path / "out" / "trials")
    )
    assert trial == {name: whole[name] for name in ("valid_elbo", "valid_nll")}


def test_finals_are_on_fresh_seeds_and_graded_in_full(study, tmp_path):
    out = tmp_path / "out"
    tune(study("nll", TWO, ("final_seeds = 0", "final_seeds = 2")), out, 2)
    rows = results.load(out)
    assert set(rows["seed"]) == {2, 3}
    assert {"nll", "elbo", "frechet"} <= set(rows["metric"])
    tunings = results.read_tuning(out)
    assert [t.variant for t in tunings] == ["beta_elbo(beta=4)", "elbo"]
    for tuning in tunings:
        assert len(tuning.untuned) == len(tuning.tuned) == 2
        assert {*tuning.untuned, *tuning.tuned} <= set(rows["run"])
        assert (tuning.trials, tuning.steps) == (2, 2 * 2 * 12)
    best = {config.variant for config in expand(read(out / "best.toml"))}
    assert len(best) == 2
    assert best <= set(rows["variant"])


def test_what_an_axis_sets_is_not_searched(study):
    two = study("nll", ("seed = [0, 1]", 'seed = [0]\n"objective.beta" = [0.5, 2.0]'))
    spaces = [set(variant.space.distributions) for variant in variants_of(two)]
    assert spaces == [{"train.learning_rate"}] * 2
    rates = study("nll", ("seed = [0, 1]", 'seed = [0]\n"train.learning_rate" = [1e-3, 1e-2]'))
    with pytest.raises(InputError, match="is searched for no variant"):
        variants_of(rates)


def test_trials_say_which_runs_stopped_early_and_whose_best_weights_are_kept(study, tmp_path):
    steps = "train = { num_steps = 12, batch_size = 16"
    longer = 'train = { num_steps = 80, learning_rate = 0.3, patience = 1, keep = "best"'
    wild = (RANGE, '"train.learning_rate" = { low = 0.2, high = 0.4 }')
    early = study("nll", (steps, f"{longer}, batch_size = 16"), wild)
    table = tune(early, tmp_path / "early", 2)
    trainings = [r.training for r in results.records(tmp_path / "early" / "trials")]
    assert any(t.steps < t.num_steps for t in trainings), "no run stopped early: change the seeds"
    assert table["training"].str.contains("of 80 steps; the best weights are kept").any()
    taken = sum(t.steps for t in trainings)
    assert table["steps"].sum() == taken < 2 * 2 * 80
    written = read_csv(tmp_path / "early" / "trials.csv", keep_default_na=False)
    assert written["training"].to_list() == table["training"].to_list()


def test_goes_on_to_the_same_end(study, tmp_path):
    whole = tune(study("nll", TWO), tmp_path / "whole", 6)
    tune(study("nll", TWO), tmp_path / "parts", 2)
    parts = tune(study("nll", TWO), tmp_path / "parts", 6)
    assert len(parts) == len(whole) == 12
    assert parts.equals(whole)
    assert tune(study("nll", TWO), tmp_path / "whole", 6).equals(whole)


@pytest.mark.slow
def test_any_number_of_workers_gives_the_same_trials(study, tmp_path, monkeypatch):
    """With pruning, and sizes at which stacks of other runs are rounded otherwise."""
    odd = (
        ("widths = [8]", "widths = [37, 11]"),
        ("num_steps = 12", "num_steps = 120"),
        TWO,
        ("batch = 2", 'batch = 4\npruner = { name = "halving", factor = 2 }'),
    )
    inline = tune(study("nll", *odd), tmp_path / "inline", 8)
    assert "pruned" in set(inline["status"])
    started, start = [], local._started
    monkeypatch.setattr(local, "_started", lambda *words: started.append(1) or start(*words))
    for workers in (1, 2):
        options = {"workers": workers, "timings": False, "compiles": "never"}
        out = tmp_path / f"{workers}"
        assert sweep(study("nll", *odd), out, Budget(trials=8), **options).equals(inline)
        assert len(started) == workers, "workers are kept from stage to stage"
        started.clear()


@pytest.mark.slow
@pytest.mark.parametrize(("event", "number"), [(Begun, 3), (Recorded, 4)])
def test_a_worker_that_is_lost_costs_no_trial(study, tmp_path, monkeypatch, event, number):
    """A worker is lost as it begins the stack of the second batch, or while it waits between two.

    At these sizes a run rounds alike in stacks of any size.
    """
    edits = (("widths = [8]", "widths = [16]"), ("final_seeds = 0", "final_seeds = 1"))
    inline = tune(study("nll", *edits), tmp_path / "inline", 6)
    started, start, take = [], local._started, Account.take
    monkeypatch.setattr(
        local, "_started", lambda *words: started.append(start(*words)) or started[-1]
    )
    events, lost = itertools.count(1), []

    def killing(account, happened):
        if isinstance(happened, event) and next(events) == number:
            started[-1].process.kill()
            started[-1].process.wait()
        lost.extend([happened] if isinstance(happened, Lost) else [])
        return take(account, happened)

    monkeypatch.setattr(Account, "take", killing)
    options = {"workers": 1, "timings": False, "compiles": "never"}
    assert sweep(study("nll", *edits), tmp_path / "out", Budget(trials=6), **options).equals(inline)
    assert len(lost) == (event is Begun)
    assert len(started) > 1
    assert set(results.recorded(tmp_path / "out").values()) == {"done"}
    assert all(worker.process.poll() is not None for worker in started)


KILLED = (
    ("widths = [8]", "widths = [37, 11]"),
    ("num_steps = 12", "num_steps = 80"),
    ("batch = 2", 'batch = 4\npruner = { name = "halving", factor = 2 }'),
)


def killed(study, out, monkeypatch, num_writes):
    """Tune, and end as by kill -9 once so many runs have been recorded."""
    with monkeypatch.context() as patch:
        write, left = results.write, iter(range(num_writes))

        def counted(out, record):
            write(out, record)
            if next(left, None) is None:
                raise KilledError

        patch.setattr(results, "write", counted)
        with pytest.raises(KilledError):
            tune(study, out, 4)


@pytest.mark.parametrize("num_writes", [1, 6, 15, 22])
def test_killed_while_it_records_runs_it_ends_where_it_would_have(
    study, tmp_path, monkeypatch, num_writes
):
    whole = tune(study("nll", *KILLED), tmp_path / "whole", 4)
    killed(study("nll", *KILLED), tmp_path / "cut", monkeypatch, num_writes)
    assert tune(study("nll", *KILLED), tmp_path / "cut", 4).equals(whole)


def test_runs_whose_checkpoints_are_gone_begin_anew(study, tmp_path, monkeypatch):
    """A trial that draws what an earlier, pruned one drew has no checkpoints either."""
    whole = tune(study("nll", *KILLED), tmp_path / "whole", 4)
    killed(study("nll", *KILLED), tmp_path / "cut", monkeypatch, 12)
    checkpoints = list((tmp_path / "cut" / "trials").glob("step-*/weights/*"))
    assert checkpoints
    for checkpoint in checkpoints:
        checkpoint.unlink()
    again = tune(study("nll", *KILLED), tmp_path / "cut", 4)
    assert again["status"].to_list() == whole["status"].to_list()
    values = again["valid_nll"].to_list()
    assert values == pytest.approx(whole["valid_nll"].to_list(), rel=1e-5, nan_ok=True)


def test_killed_before_it_forgets_checkpoints_none_is_left(study, tmp_path, monkeypatch):
    edit = ("batch = 2", 'batch = 4\npruner = { name = "halving", factor = 2 }')
    with monkeypatch.context() as patch:
        patch.setattr("vaebench.running.sweeps.place.Place.forget", raising(KilledError))
        with pytest.raises(KilledError):
            tune(study("nll", edit), tmp_path / "out", 4)
    assert list((tmp_path / "out" / "trials").glob("step-*/weights/*"))
    tune(study("nll", edit), tmp_path / "out", 4)
    assert not list((tmp_path / "out" / "trials").glob("step-*/weights/*"))


def test_a_round_reads_the_records_of_its_own_runs_alone(study, tmp_path, monkeypatch):
    """So the time of a trial does not grow with the folder."""
    from vaebench.results import folder

    read_record, reads = folder.read_record, []

    def counted(path):
        reads.append(path.name)
        return read_record(path)

    monkeypatch.setattr(folder, "read_record", counted)
    counts = []
    for num_trials in (2, 4, 6, 8):
        before = len(reads)
        tune(study(), tmp_path / "out", num_trials)
        counts.append(len(reads) - before)
    assert counts == [counts[0]] * 4
    assert max(Counter(reads).values()) <= 6


def test_winners_of_a_smaller_budget_are_not_among_the_finals_of_a_larger(study, tmp_path):
    """Though the smaller sweep was killed before it said which they are; other runs stay, those of
    the user's own of the same trial among them, on any seed."""
    out = tmp_path / "out"
    tuned = study("nll", ("final_seeds = 0", "final_seeds = 2"))
    tune(tuned, out, 2)
    (small,) = results.read_tuning(out)
    (out / "tuning.json").unlink()
    (other,) = expand(read(tmp_path / "tuned.toml", ("axes.seed=[7]",)))
    mine = expand(read(out / "best.toml", ("axes.seed=[0,1,9]",)))
    kept = {config.id for config in (other, *mine)}
    run_all([other, *mine], out, "another", executor="inline", timings=False)
    with pytest.warns(InputWarning, match="2 final runs of trials that are the best no more were"):
        tune(tuned, out, 8)
    (large,) = results.read_tuning(out)
    assert large.chosen != small.chosen, "the best must change: choose another seed"
    assert set(results.recorded(out)) == {*large.tuned, *large.untuned, *kept}
    assert {path.stem for path in (out / "weights").iterdir()} == set(results.recorded(out))
    with warnings.catch_warnings():
        warnings.simplefilter("error", InputWarning)
        tune(tuned, out, 8)


def test_fewer_final_seeds_remove_none_of_the_winner(study, tmp_path):
    out = tmp_path / "out"
    tune(study("nll", ("final_seeds = 0", "final_seeds = 2")), out, 2)
    before = set(results.recorded(out))
    with warnings.catch_warnings():
        warnings.simplefilter("error", InputWarning)
        tune(study("nll", ("final_seeds = 0", "final_seeds = 1")), out, 2)
    assert set(results.recorded(out)) == before


def test_the_best_is_a_study_that_can_be_run(study, tmp_path):
    table = tune(study(), tmp_path / "out", 2)
    (config,) = expand(read(tmp_path / "out" / "best.toml"))
    assert config.objective.hyper["beta"] == table["objective.beta"][0]
    assert config.train.learning_rate == table["train.learning_rate"][0]


def test_choices_are_searched_and_written_as_a_study_has_them(study, tmp_path):
    space = (
        f'{RANGE}\nmodel.widths = [[8], [8, 4]]\nposterior = ["diagonal_gaussian", "full_gaussian"]'
    )
    table = tune(study("nll", (RANGE, space), ("batch = 2", "batch = 6")), tmp_path / "out", 6)
    assert set(table["model.widths"]) == {"8", "8,4"}
    assert set(table["posterior"]) == {"diagonal_gaussian", "full_gaussian"}
    (config,) = expand(read(tmp_path / "out" / "best.toml"))
    assert ",".join(map(str, config.model.widths)) == table["model.widths"][0]
    assert config.posterior.name == table["posterior"][0]


def test_several_targets_have_a_front(study, tmp_path):
    several = study("nll", ('target = "nll"', 'target = ["nll", "frechet"]'))
    table = tune(several, tmp_path / "out", 6)
    front = read_csv(tmp_path / "out" / "pareto.csv")
    assert {"valid_nll", "valid_frechet"} <= set(front)
    for _, trial in table.iterrows():
        beaten = (table["valid_nll"] < trial["valid_nll"]) & (
            table["valid_frechet"] < trial["valid_frechet"]
        )
        assert (trial["trial"] in set(front["trial"])) == (not beaten.any())


@pytest.mark.parametrize(
    ("target", "names"),
    [
        ('"nll"', {"history", "importances", "slice", "contour", "parallel"}),
        ('["nll", "elbo"]', {"pareto"}),
    ],
)
def test_searches_are_drawn(study, tmp_path, target, names):
    drawn = study("nll", ('target = "nll"', f"target = {target}"))
    left = tmp_path / "out" / "figures" / "beta_elbo_beta=4" / f"{HERE}left.tmp"
    left.parent.mkdir(parents=True)
    left.touch()  # by one that was killed
    tune(drawn, tmp_path / "out", 6, figures=True)
    (folder,) = (tmp_path / "out" / "figures").iterdir()
    assert folder == left.parent
    assert not left.exists()
    assert {path.stem for path in folder.glob("*.png")} == names
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in folder.glob("*.png"))


def test_folders_of_figures_do_not_collide():
    alike = ["a b", "a_b", "A B", "...", "c", "x" * 300, "x" * 301]
    names = folder_names(alike)
    assert names == folder_names(alike)
    assert len({name.casefold() for name in names}) == len(alike)
    assert names[4] == "c"
    assert all(name and len(name) < 80 and set(name) <= WORDS for name in names)


@pytest.mark.parametrize("milliseconds", [1.0, 8.0])
def test_a_budget_in_seconds_is_spent_by_the_measured_time_of_a_step(
    study, tmp_path, monkeypatch, milliseconds
):
    """A trial takes steps x seeds x the time of a step, whatever any clock says now."""
    step_time = results.Metric("step_time", milliseconds, "ms", False)
    calls = []

    def timed(variants, study, device):
        calls.append(len(variants))
        (variant,) = variants
        first, *_ = variant.configs
        shown = labels(first, seed=None)
        named = {"run": first.id, "study": study, "labels": shown, "status": "done"}
        return [results.Record(**named, metrics=[step_time])]

    monkeypatch.setattr(clock, "timing_pass", timed)
    of_trial = 2 * expand(study())[0].train.num_steps * milliseconds / 1e3
    budget = Budget(seconds=2.5 * of_trial)
    for _ in range(2):  # the second time from what is kept
        table = sweep(study(), tmp_path / "out", budget, executor="inline", timings=False)
        assert len(table) == 3, "the third begins while less than the budget is spent"
        assert table["seconds"].to_list() == pytest.approx(3 * [of_trial])
    assert calls == [1], "measured once for each shape"


def test_a_trial_that_breaks_a_limit_is_not_chosen(study, tmp_path):
    def limited(most):
        limits = f"[sweep.constraints]\nrate = {{ max = {most} }}\n[sweep.space]"
        return tune(study("nll", ("[sweep.space]", limits)), tmp_path / f"{most}", 6)

    free = limited(1e9)
    most = float(free["valid_rate"].median())
    table = limited(most)
    assert sorted(table["valid_rate"]) == sorted(free["valid_rate"])  # the first are random
    kept = table[table["valid_rate"] <= most]
    assert len(kept) == 3
    (config,) = expand(read(tmp_path / f"{most}" / "best.toml"))
    assert config.train.learning_rate == kept.iloc[0]["train.learning_rate"]
    (config,) = expand(read(tmp_path / f"{1e9}" / "best.toml"))
    assert config.train.learning_rate == free.iloc[0]["train.learning_rate"]


def test_the_time_of_a_step_can_be_limited(study, tmp_path):
    limited = study(
        "nll", ("[sweep.space]", "[sweep.constraints]\nstep_time = { max = 1e-9 }\n[sweep.space]")
    )
    table = tune(limited, tmp_path / "out", 2)
    assert (table["step_time"] > 1e-9).all()
    assert table["step_time"].nunique() == 1  # scalars do not change it
    assert not (tmp_path / "out" / "best.toml").exists()
    (tuning,) = results.read_tuning(tmp_path / "out")
    assert tuning.chosen is None


def lost(table):
    return table[table["status"] != "done"]


def test_a_refused_trial_is_recorded_with_its_reason(study, tmp_path):
    out = tmp_path / "out"
    table = tune(piwae(study), out, 8)
    assert len(table) == 8
    assert set(table["objective.groups"]) == {1, 2, 3, 4}
    assert set(lost(table)["objective.groups"]) == {3}
    assert set(lost(table)["status"]) == {"refused"}
    assert lost(table)["reason"].str.contains("got 3 groups of 4 samples").all()
    assert (lost(table)["valid_nll"] == math.inf).all()
    assert read_csv(out / "trials.csv")["status"].to_list() == table["status"].to_list()
    assert expand(read(out / "best.toml"))[0].objective.hyper["groups"] in (1, 2, 4)


def test_a_sweep_with_lost_trials_goes_on_to_the_same_end(study, tmp_path):
    whole = tune(piwae(study), tmp_path / "whole", 12)
    for num_trials in (4, 8, 12):
        parts = tune(piwae(study), tmp_path / "parts", num_trials)
    assert len(lost(whole)) > 0
    assert parts.equals(whole)


def test_a_failed_run_loses_its_trial_alone(study, tmp_path, monkeypatch):
    from vaebench.results import folder

    record = folder.write
    seeds = iter(range(100))

    def third_fails(out, written):
        failed = next(seeds) == 2
        changes = {"status": "failed", "reason": "Traceback\nKeyError: 3", "metrics": []}
        record(out, msgspec.structs.replace(written, **changes) if failed else written)

    monkeypatch.setattr(results, "write", third_fails)
    table = tune(study(), tmp_path / "out", 4)
    assert table["status"].to_list() == ["done", "done", "done", "failed"]
    assert table["reason"][3] == "KeyError: 3"
    assert (tmp_path / "out" / "best.toml").exists()


def wild(study):
    return study("nll", ("low = 1e-4, high = 1e-2", "low = 1e29, high = 1e30"))


def test_a_sweep_whose_trials_are_all_lost_has_no_best(study, tmp_path):
    out = tmp_path / "out"
    tune(study(), out, 2)
    assert (out / "best.toml").exists()
    table = tune(wild(study), out, 2)
    assert set(table["status"]) == {"diverged"}
    assert (table["valid_nll"] == math.inf).all()
    assert not (out / "best.toml").exists()
    assert set(read_csv(out / "trials.csv")["status"]) == {"diverged"}


def call(*arguments):
    from vaebench.cli import main

    return CliRunner().invoke(main, [*map(str, arguments), "--executor", "inline"])


def test_all_lost_is_one_line_and_status_1(study, tmp_path):
    wild(study)
    done = call("sweep", tmp_path / "tuned.toml", "--trials", 2, "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert done.stdout == ""
    assert "2 of 2 trials were lost, so there is no best" in done.stderr.splitlines()[-1]
    assert "diverged: the loss was not finite" in done.stderr.splitlines()[-1]


def test_the_command_shows_tuned_beside_untuned_and_compare_answers(study, tmp_path):
    study("nll", TWO, ("final_seeds = 0", "final_seeds = 2\nbudget.trials = 2"))
    out = tmp_path / "out"
    done = call("sweep", tmp_path / "tuned.toml", "--out", out, "--no-timings")
    assert done.exit_code == 0, done.output
    assert "tuned beside untuned" in done.stdout
    assert "does the ranking change once all are tuned?" in done.stdout
    table = read_csv(out / "tuned.csv")
    assert set(table["variant"]) == {"beta_elbo(beta=4)", "elbo"}
    gains = (table["untuned"] - table["tuned"]).to_list()
    assert table["gain"].to_list() == pytest.approx(gains, rel=1e-3)
    said = CliRunner().invoke(_main(), ["compare", str(out)]).stdout
    assert "does the ranking change once all are tuned?" in said
    assert said.count("nats of nll by tuning") == 2


def _main():
    from vaebench.cli import main

    return main


def test_the_best_of_another_search_goes_before_the_first_trial(study, tmp_path, monkeypatch):
    out = tmp_path / "out"
    tune(study(), out, 2)

    def killed(*arguments):
        raise KilledError

    monkeypatch.setattr(module.Rounds, "turn", killed)
    with pytest.raises(KilledError):
        tune(study(), out, 4)
    assert (out / "best.toml").exists()  # this search has trials, and it is their best
    with pytest.raises(KilledError):
        tune(study("elbo"), out, 4)
    assert not (out / "best.toml").exists()
    assert not (out / "trials.csv").exists()


def test_a_study_that_is_refused_by_now_stops_the_sweep(study, tiny_npz):
    (variant,) = variants_of(piwae(study))
    tiny_npz.unlink()
    with pytest.raises(InputError, match="there is none at"):
        Tuned(variant, None, None, None).runs_of({"objective.groups": 3})


def test_one_sweep_at_a_time(study, tmp_path):
    results.prepare(tmp_path / "out")
    with (
        results.alone(tmp_path / "out"),
        pytest.raises(InputError, match="another is at work"),
    ):
        tune(study(), tmp_path / "out", 2)


def test_an_interrupted_sweep_says_how_many_trials_have_ended(study, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("vaebench.running.sweeps.place.Place.train", raising(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt) as caught:
            tune(piwae(study), tmp_path / "out", 8, progress=silent)
    assert caught.value.__notes__ == ["0 trials have ended, of 8 trials for each variant"]


def raising(error):
    def function(*arguments):
        raise error

    return function
