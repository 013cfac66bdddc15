"""The coordinator: every slot once, the same end however often it is killed."""

import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from vaebench import results
from vaebench.errors import InputError
from vaebench.study import read
from vaebench.sweep import only_one, open_study, search, search_space, sweep

SPACE = {"x": FloatDistribution(-3.0, 3.0), "y": FloatDistribution(0.1, 10.0, log=True)}


class KilledError(BaseException):
    """Stands in for kill -9: nothing in the search may catch it."""


def parabola(batch):
    return [p["x"] ** 2 + p["y"] for p in batch]


def completed(study):
    done = study.get_trials(states=(TrialState.COMPLETE,))
    return {t.user_attrs["slot"]: (t.params, t.value) for t in done}


def killed_after(num_calls, study, num_trials=12):
    """Search until the storage has been written to so many times, then stop dead."""
    backend = study._storage._backend
    append, calls = backend.append_logs, iter(range(num_calls))

    def counted(logs):
        append(logs)
        if next(calls, None) is None:
            raise KilledError

    backend.append_logs = counted
    try:
        search(study, SPACE, num_trials, 4, 0, parabola)
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
    assert set(table.columns) == {"trial", "value", "objective.beta", "train.learning_rate"}
    assert table["objective.beta"].between(0.1, 10).all()


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
    from vaebench.study import expand

    table = sweep(study(), tmp_path / "out", 2, executor="inline")
    (config,) = expand(read(tmp_path / "out" / "best.toml"))
    assert config.objective.hyper["beta"] == table["objective.beta"][0]
    assert config.train.learning_rate == table["train.learning_rate"][0]


def test_a_diverged_trial_is_infinitely_bad(study, tmp_path):
    wild = study("nll", ("low = 1e-4, high = 1e-2", "low = 1e29, high = 1e30"))
    assert (sweep(wild, tmp_path / "out", 2, executor="inline")["value"] == float("inf")).all()


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (('"beta_elbo"', '"elbo"'), None),
        (("seed = [0, 1]", 'objective = ["elbo", "elbo_mc"]'), "tunes one variant"),
        (("train.learning_rate", "train.lerning_rate"), "did you mean 'learning_rate'"),
        (("train.learning_rate", "learning_rate"), "must be SECTION.NAME"),
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
    from vaebench.study import expand

    return search_space(expand(study)[0], study)


def test_a_schedule_is_left_alone(study):
    scheduled = study("nll", ('"beta_elbo"', '{ name = "beta_elbo", beta = { name = "linear" } }'))
    assert set(search_space_of(scheduled)) == {"train.learning_rate"}


def test_one_sweep_at_a_time(study, tmp_path):
    results.prepare(tmp_path / "out")
    with (
        only_one(tmp_path / "out" / "sweep.lock"),
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
