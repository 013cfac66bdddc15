"""The coordinator: every slot once, the same end however often it is killed."""

import math

import msgspec
import pytest
from click.testing import CliRunner
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.trial import TrialState
from pandas import read_csv

from vaebench import results
from vaebench.config.study import expand, read
from vaebench.core.errors import InputError
from vaebench.running.harness import silent
from vaebench.running.search_space import search_space
from vaebench.running.sweep import Outcome, _trial_runs, open_study, search, sweep

SPACE = {"x": FloatDistribution(-3.0, 3.0), "y": FloatDistribution(0.1, 10.0, log=True)}


class KilledError(BaseException):
    """Stands in for kill -9: nothing in the search may catch it."""


def parabola(batch):
    return [Outcome(p["x"] ** 2 + p["y"]) for p in batch]


def completed(study):
    done = study.get_trials(states=(TrialState.COMPLETE,))
    return {t.user_attrs["slot"]: (t.params, t.value) for t in done}


def killed_after(num_calls, study, evaluate=parabola, num_trials=12):
    """Search until the storage has been written to so many times, then stop dead."""
    backend = study._storage._backend
    append, calls = backend.append_logs, iter(range(num_calls))

    def counted(logs):
        append(logs)
        if next(calls, None) is None:
            raise KilledError

    backend.append_logs = counted
    try:
        search(study, SPACE, num_trials, 4, 0, evaluate)
    except KilledError:
        return True
    return False


def test_finds_a_minimum(tmp_path):
    study = open_study(tmp_path / "a.journal", "s")
    search(study, SPACE, 40, 4, 0, parabola)
    assert len(completed(study)) == 40
    assert study.best_value < 0.8


@pytest.mark.parametrize("num_calls", [0, 3, 7, 11, 14, 22, 29, 38, 45])
def test_killed_at_any_write_it_ends_where_it_would_have(tmp_path, num_calls):
    whole = open_study(tmp_path / "whole.journal", "s")
    search(whole, SPACE, 12, 4, 0, parabola)
    assert killed_after(num_calls, open_study(tmp_path / "cut.journal", "s"))
    resumed = open_study(tmp_path / "cut.journal", "s")
    search(resumed, SPACE, 12, 4, 0, parabola)
    assert completed(resumed) == completed(whole)


def test_a_torn_last_line_is_cut_off(tmp_path):
    path = tmp_path / "a.journal"
    search(open_study(path, "s"), SPACE, 4, 4, 0, parabola)
    path.write_bytes(path.read_bytes()[:-17])
    study = open_study(path, "s")
    search(study, SPACE, 8, 4, 0, parabola)
    assert sorted(completed(study)) == list(range(8))


RANGE = '"train.learning_rate" = { low = 1e-4, high = 1e-2, log = true }'
RISING = "rate_weight.rising = { low = 0.1, high = 0.9 }"
TUNED = ("objective.beta", "train.learning_rate")
STUDY = """
name = "tuned"
[base]
objective = "beta_elbo"
likelihood = "bernoulli"
model = {{ latent_dim = 2, widths = [8] }}
train = {{ num_steps = 12, batch_size = 16 }}
evaluate = {{ num_samples = 3, num_images = 20 }}
data = {{ name = "{data}", binarisation = "static" }}
[axes]
seed = [0, 1]
[sweep]
target = "{target}"
batch = 2
[sweep.space]
"train.learning_rate" = {{ low = 1e-4, high = 1e-2, log = true }}
"""


@pytest.fixture
def study(tmp_path, tiny_npz):
    def write(target="nll", *edits):
        text = STUDY.format(data=tiny_npz, target=target)
        for old, new in edits:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "tuned.toml"
        path.write_text(text)
        return read(path)

    return write


@pytest.mark.parametrize(
    ("target", "metric", "sign"), [("nll", "valid_nll", 1), ("elbo", "valid_elbo", -1)]
)
def test_minimises_the_shared_evaluation_on_validation_data(study, tmp_path, target, metric, sign):
    out = tmp_path / "out"
    table = sweep(study(target), out, 4, executor="inline")
    rows = results.load(out)
    values = rows[rows["metric"] == metric].groupby("hyper")["value"].mean()
    assert sorted(sign * values) == pytest.approx(table["value"].to_list())
    assert set(table.columns) == {"trial", "value", "status", "reason", "training", *TUNED}
    assert table["objective.beta"].between(0.1, 10).all()


def test_trials_say_which_runs_stopped_early_and_whose_best_weights_are_kept(study, tmp_path):
    steps = "train = { num_steps = 12, batch_size = 16"
    longer = 'train = { num_steps = 80, learning_rate = 0.3, patience = 1, keep = "best"'
    early = study("nll", (steps, f"{longer}, batch_size = 16"))
    table = sweep(early, tmp_path / "early", 2, executor="inline")
    trainings = [r.training for r in results.records(tmp_path / "early")]
    assert any(t.steps < t.num_steps for t in trainings), "no run stopped early: change the seeds"
    assert table["training"].str.contains("of 80 steps; the best weights are kept").any()
    written = read_csv(tmp_path / "early" / "trials.csv", keep_default_na=False)
    assert written["training"].to_list() == table["training"].to_list()
    whole = sweep(study(), tmp_path / "whole", 2, executor="inline")
    assert whole["training"].to_list() == ["", ""]


def test_goes_on_to_the_same_end(study, tmp_path):
    whole = sweep(study(), tmp_path / "whole", 6, executor="inline")
    sweep(study(), tmp_path / "parts", 3, executor="inline")
    parts = sweep(study(), tmp_path / "parts", 6, executor="inline")
    assert len(parts) == len(whole) == 6
    # A count that is no multiple of the batch ends a batch early, which later trials can see.
    assert parts["trial"].sort_values().to_list() == list(range(6))
    again = sweep(study(), tmp_path / "whole", 6, executor="inline")
    assert again.equals(whole)


def test_the_best_is_a_study_that_can_be_run(study, tmp_path):
    table = sweep(study(), tmp_path / "out", 2, executor="inline")
    (config,) = expand(read(tmp_path / "out" / "best.toml"))
    assert config.objective.hyper["beta"] == table["objective.beta"][0]
    assert config.train.learning_rate == table["train.learning_rate"][0]


def piwae(study, *edits):
    """Groups from 1 to 4 of 4 samples: 3 do not divide them."""
    return study(
        "nll",
        ('"beta_elbo"', '"piwae"\nnum_samples = 4'),
        ("batch = 2", "batch = 4"),
        (RANGE, '"objective.groups" = { low = 1, high = 4 }'),
        *edits,
    )


def lost(table):
    return table[table["status"] != "done"]


def test_a_refused_trial_is_recorded_and_the_others_train_as_one_stack(study, tmp_path):
    shown = []

    def progress(what, total):
        shown.append(what)
        return silent(what, total)

    out = tmp_path / "out"
    table = sweep(piwae(study), out, 8, executor="inline", progress=progress)
    assert len(table) == 8
    assert set(table["objective.groups"]) == {1, 2, 3, 4}
    assert set(lost(table)["objective.groups"]) == {3}
    assert set(lost(table)["status"]) == {"refused"}
    assert lost(table)["reason"].str.contains("got 3 groups of 4 samples").all()
    assert (lost(table)["value"] == math.inf).all()
    assert len(shown) <= 2
    assert read_csv(out / "trials.csv")["status"].to_list() == table["status"].to_list()
    assert expand(read(out / "best.toml"))[0].objective.hyper["groups"] in (1, 2, 4)


def test_a_sweep_with_lost_trials_goes_on_to_the_same_end(study, tmp_path):
    whole = sweep(piwae(study), tmp_path / "whole", 12, executor="inline")
    for num_trials in (4, 8, 12):
        parts = sweep(piwae(study), tmp_path / "parts", num_trials, executor="inline")
    assert len(lost(whole)) > 0
    assert parts.equals(whole)


@pytest.mark.parametrize("num_calls", [0, 3, 7, 11, 14, 22, 29, 38, 45, 52])
def test_killed_at_any_write_it_loses_the_same_trials(tmp_path, num_calls):
    def half_plane(batch):
        refused = Outcome(math.inf, "refused", "x is negative")
        return [refused if p["x"] < 0 else Outcome(p["x"]) for p in batch]

    whole = open_study(tmp_path / "whole.journal", "s")
    search(whole, SPACE, 12, 4, 0, half_plane)
    assert killed_after(num_calls, open_study(tmp_path / "cut.journal", "s"), half_plane)
    resumed = open_study(tmp_path / "cut.journal", "s")
    search(resumed, SPACE, 12, 4, 0, half_plane)
    assert completed(resumed) == completed(whole)
    assert reasons(resumed) == reasons(whole)
    assert 0 < len(reasons(whole)) < 12


def reasons(study):
    done = study.get_trials(states=(TrialState.COMPLETE,))
    return {t.user_attrs["slot"]: t.user_attrs["lost"] for t in done if "lost" in t.user_attrs}


def test_a_failed_run_loses_its_trial_alone(study, tmp_path, monkeypatch):
    from vaebench import results
    from vaebench.results import folder

    record = folder.write
    seeds = iter(range(100))

    def third_fails(out, written):
        failed = next(seeds) == 2
        changes = {"status": "failed", "reason": "Traceback\nKeyError: 3", "metrics": []}
        record(out, msgspec.structs.replace(written, **changes) if failed else written)

    monkeypatch.setattr(results, "write", third_fails)
    table = sweep(study(), tmp_path / "out", 4, executor="inline")
    assert table["status"].to_list() == ["done", "done", "done", "failed"]
    assert table["reason"][3] == "KeyError: 3"
    assert (tmp_path / "out" / "best.toml").exists()


def wild(study):
    return study("nll", ("low = 1e-4, high = 1e-2", "low = 1e29, high = 1e30"))


def test_a_sweep_whose_trials_are_all_lost_has_no_best(study, tmp_path):
    out = tmp_path / "out"
    sweep(study(), out, 2, executor="inline")
    assert (out / "best.toml").exists()
    table = sweep(wild(study), out, 2, executor="inline")
    assert set(table["status"]) == {"diverged"}
    assert not (out / "best.toml").exists()
    assert set(read_csv(out / "trials.csv")["status"]) == {"diverged"}


def test_all_lost_is_one_line_and_status_1(study, tmp_path):
    from vaebench.cli import main

    wild(study)
    arguments = ["sweep", tmp_path / "tuned.toml", "--trials", 2, "--executor", "inline"]
    done = CliRunner().invoke(main, [*map(str, arguments), "--out", str(tmp_path / "out")])
    assert done.exit_code == 1
    assert done.stdout == ""
    assert "2 of 2 trials were lost, so there is no best" in done.stderr.splitlines()[-1]
    assert "diverged: the loss was not finite" in done.stderr.splitlines()[-1]


def test_the_best_of_another_search_goes_before_the_first_trial(study, tmp_path, monkeypatch):
    out = tmp_path / "out"
    sweep(study(), out, 2, executor="inline")

    def killed(*arguments):
        raise KilledError

    monkeypatch.setattr("vaebench.running.sweep.search", killed)
    with pytest.raises(KilledError):
        sweep(study(), out, 4, executor="inline")
    assert (out / "best.toml").exists()  # this search has trials, and it is their best
    with pytest.raises(KilledError):
        sweep(study("elbo"), out, 4, executor="inline")
    assert not (out / "best.toml").exists()
    assert not (out / "trials.csv").exists()


def test_a_study_that_is_refused_by_now_stops_the_sweep(study, tmp_path, tiny_npz):
    tuned = piwae(study)
    configs = expand(tuned)
    tiny_npz.unlink()
    with pytest.raises(InputError, match="there is none at"):
        _trial_runs(configs, {"objective.groups": 3})


@pytest.mark.parametrize(
    ("place", "limits", "distribution"),
    [
        ("train.batch_size", "low = 4, high = 16, log = true", IntDistribution(4, 16, log=True)),
        ("model.latent_dim", "low = 2, high = 8", IntDistribution(2, 8)),
        ("num_samples", "low = 1, high = 4", IntDistribution(1, 4)),
        ("train.patience", "low = 3, high = 9", IntDistribution(3, 9)),
        ("train.weight_decay", "low = 0, high = 1", FloatDistribution(0.0, 1.0)),
        ("rate_weight", "low = 0, high = 1", FloatDistribution(0.0, 1.0)),
        ("objective.beta", "low = 1, high = 2", FloatDistribution(1.0, 2.0)),
    ],
)
@pytest.mark.parametrize("quote", ['"', ""])
def test_whole_numbers_are_searched_for_fields_of_whole_numbers(
    study, place, limits, distribution, quote
):
    tuned = study("nll", (RANGE, f"{quote}{place}{quote} = {{ {limits} }}"))
    assert search_space_of(tuned)[place] == distribution


def test_the_parameters_of_a_schedule_are_searched(study):
    tuned = study(
        "nll",
        ('"beta_elbo"', '"beta_elbo"\nrate_weight = { name = "cyclical" }'),
        (RANGE, "rate_weight.cycles = { low = 1, high = 4 }\n" + RISING),
    )
    space = search_space_of(tuned)
    assert space["rate_weight.cycles"] == IntDistribution(1, 4)
    assert space["rate_weight.rising"] == FloatDistribution(0.1, 0.9)


def test_an_end_is_refused_only_where_no_other_end_allows_it(study):
    tuned = piwae(
        study,
        ("num_samples = 4", "num_samples = 2"),
        ('"objective.groups"', 'num_samples = { low = 2, high = 4 }\n"objective.groups"'),
    )
    assert search_space_of(tuned)["objective.groups"] == IntDistribution(1, 4)
    with pytest.raises(InputError, match=r"'objective.groups' at 3 is not"):
        search_space_of(piwae(study, ("high = 4", "high = 3")))


def test_a_diverged_trial_is_infinitely_bad(study, tmp_path):
    assert (sweep(wild(study), tmp_path / "out", 2, executor="inline")["value"] == math.inf).all()


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (('"beta_elbo"', '"elbo"'), None),
        (("seed = [0, 1]", 'objective = ["elbo", "elbo_mc"]'), "tunes one variant"),
        (("train.learning_rate", "train.lerning_rate"), "did you mean 'learning_rate'"),
        (("train.learning_rate", "learning_rate"), "did you mean 'train.learning_rate'"),
        (("low = 1e-4", "low = 1.0"), "needs low < high"),
        (("low = 1e-4", "low = -1.0"), "Expected 'float' > 0"),
    ],
)
def test_bad_sweeps_are_named(study, tmp_path, edit, message):
    if message is None:
        space = search_space_of(study("nll", edit))
        assert set(space) == {"train.learning_rate"}
        return
    with pytest.raises(InputError, match=message):
        sweep(study("nll", edit), tmp_path / "out", 2, executor="inline")


def search_space_of(study):
    return search_space(expand(study)[0], study)


def test_a_schedule_is_left_alone(study):
    scheduled = study("nll", ('"beta_elbo"', '{ name = "beta_elbo", beta = { name = "linear" } }'))
    assert set(search_space_of(scheduled)) == {"train.learning_rate"}


def test_one_sweep_at_a_time(study, tmp_path):
    results.prepare(tmp_path / "out")
    with (
        results.alone(tmp_path / "out"),
        pytest.raises(InputError, match="another is at work"),
    ):
        sweep(study(), tmp_path / "out", 2, executor="inline")


def test_nothing_to_tune_is_said(study, tmp_path):
    bare = study(
        "nll",
        ('"beta_elbo"', '"elbo"'),
        ('"train.learning_rate" = { low = 1e-4, high = 1e-2, log = true }', ""),
    )
    with pytest.raises(InputError, match="nothing to tune"):
        sweep(bare, tmp_path / "out", 2, executor="inline")
    with pytest.raises(InputError, match="at least one trial"):
        sweep(bare, tmp_path / "out", 0, executor="inline")


def test_an_interrupted_sweep_says_how_many_trials_have_ended(study, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("vaebench.running.harness.plan", raising(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt) as caught:
            sweep(piwae(study), tmp_path / "out", 8, executor="inline")
    of_runs, of_trials = caught.value.__notes__
    assert of_runs.endswith(f"runs are recorded in {tmp_path / 'out'}")
    assert of_trials == "0 of 8 trials have ended"


def raising(error):
    def function(*arguments):
        raise error

    return function
