"""Runs that stop early: which points count, which weights are kept, and where it is said."""

from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from click.testing import CliRunner

from tests.support.graphs import Interpreted
from tests.support.runs import step_by_step, tiny
from vaebench import results
from vaebench.cli import main
from vaebench.config.build import streams
from vaebench.config.schedules import SCHEDULES, Schedule
from vaebench.data import load
from vaebench.evaluation.codes.layers import rates_of_layers
from vaebench.report.comparison import comparisons
from vaebench.report.figures import close
from vaebench.report.learning_curves import learning_curves
from vaebench.report.sentences import in_words
from vaebench.report.tables import footnotes, markdown, printable, summarise
from vaebench.running.harness import train_all
from vaebench.training import curves
from vaebench.training.loop import train
from vaebench.training.scalars import settled
from vaebench.training.stepping.eager import EagerStep, eager

CPU = torch.device("cpu")
NUM_STEPS = 10
"""One point of the curve for each."""


def config_of(seed=0, rate_weight=1.0, num_steps=NUM_STEPS, **training):
    settings = {"num_steps": num_steps, "batch_size": 16, **training}
    return tiny(seed=seed, rate_weight=rate_weight, train=settings)


def schedule(name, **parameters):
    return {"name": name, **parameters}


# ------------------------------------------------------------------ when a schedule has ended


def in_two_steps(progress, *, low: float = 0.5):
    return low if progress < 0.25 else 0.75 if progress < 0.6 else 1.0


IN_TWO_STEPS = Schedule("in_two_steps", in_two_steps, source="this test")


@pytest.mark.parametrize(
    ("rate_weight", "expected"),
    [
        (1.0, 0),
        (schedule("linear", start=1.0, stop=1.0), 0),
        (schedule("linear", over=0.9), 36),
        (schedule("linear", over=1.0), 39),
        (schedule("cyclical", cycles=4, rising=0.5), 35),
        (schedule("cyclical", cycles=2, rising=1.0), 39),
        (schedule("in_two_steps"), 24),
    ],
    ids=str,
)
def test_a_schedule_has_ended_where_its_values_say_so(monkeypatch, rate_weight, expected):
    monkeypatch.setitem(SCHEDULES._entries, "in_two_steps", IN_TWO_STEPS)
    assert settled(config_of(rate_weight=rate_weight, num_steps=40)) == expected


def test_a_sigmoid_ends_where_float32_does():
    """1 - 1 / (1 + exp(-x)) is below half of 2**-24 from x = 25 log 2 on."""
    num_steps, middle, width = 10_000, 0.2, 0.04
    last = settled(config_of(rate_weight=schedule("sigmoid"), num_steps=num_steps))
    assert last == pytest.approx(num_steps * (middle + 25 * 0.693147 * width), abs=5)


def test_schedules_of_every_part_count():
    warm_up = schedule("linear", over=0.25)
    in_objective = tiny(objective={"name": "beta_elbo", "beta": schedule("linear", over=0.5)})
    assert settled(in_objective) == 6
    cooling = schedule("linear", start=2.0, stop=0.5, over=0.75)
    codes = {"name": "categorical", "temperature": cooling}
    both = tiny(posterior=codes, prior="uniform_categorical", rate_weight=warm_up)
    assert settled(both) == 9


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (schedule("cosine"), 0),
        (schedule("tripling"), 0),
        (schedule("linear", start=1e-3, stop=1e-5, over=1.0), 0),
        (schedule("cosine", warm_up=0.25), 10),
        (schedule("linear", start=0.0, stop=1e-3, over=0.5), 20),
        (schedule("linear", start=0.0, stop=1e-3, over=1.0), 39),
        (schedule("cyclical", start=1e-4, stop=1e-3, cycles=4, rising=0.5), 35),
    ],
    ids=str,
)
def test_a_learning_rate_has_ended_its_warm_up_where_it_rises_no_more(rate, expected):
    """One that falls to the end leaves patience its points: their objective is one."""
    falling = config_of(num_steps=40, learning_rate=rate)
    assert settled(falling) == expected


# ------------------------------------------------------------------ where runs stop


@pytest.fixture
def scripted(monkeypatch):
    """Trains a stack whose validation ELBOs are given: result, and states by the steps taken."""

    def run(configs, elbos, make=None):
        states = []

        class Keeping(EagerStep):
            def __call__(self, *arguments):
                states.append({n: t.clone() for n, t in self.model.state_dict().items()})
                return super().__call__(*arguments)

        points = iter(torch.tensor(elbos).T)

        def bounds(model, *_, **__):
            left = next(points)
            assert len(left) >= model.num_runs
            return SimpleNamespace(elbo=left[: model.num_runs, None])

        monkeypatch.setattr(curves, "bounds", bounds)
        blocks = make or step_by_step(Keeping)
        result = train(configs, load("digits", "dynamic"), CPU, make_blocks=blocks)
        return result, [*states, result.model.state_dict()]

    return run


#        1    2    3    4    5    6    7    8    9   10
PEAKS = [1.0, 5.0, 4.0, 3.0, 2.0, 1.0, 3.0, 2.0, 1.0, 0.0]
FALLS = [9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0]
HALF = schedule("linear", over=0.5)
"""Has its last value at step 5, so the sixth point is the first that counts."""


@pytest.mark.parametrize(
    ("rate_weight", "patience", "elbos", "steps", "best"),
    [
        (1.0, None, PEAKS, 10, 2),
        (1.0, 3, PEAKS, 5, 2),
        (1.0, 3, FALLS, 4, 1),
        (HALF, 3, FALLS, 9, 6),
        (HALF, 3, PEAKS, 10, 7),
        (HALF, 20, PEAKS, 10, 7),
        (schedule("linear", over=1.0), 1, FALLS, 10, 10),
        (1.0, 2, [float("nan")] * 10, 3, 3),
    ],
)
@pytest.mark.parametrize("keep", ["last", "best"])
def test_points_count_once_schedules_have_ended(
    scripted, keep, rate_weight, patience, elbos, steps, best
):
    config = config_of(rate_weight=rate_weight, patience=patience, keep=keep)
    result, states = scripted([config], [elbos])
    kept = best if keep == "best" else steps
    assert result.endings == (curves.Ending(steps, kept),)
    if kept < NUM_STEPS:
        torch.testing.assert_close(result.model.state_dict(), states[kept], rtol=0, atol=0)


@pytest.mark.parametrize("make", [eager, Interpreted])
def test_each_run_of_a_stack_keeps_its_own(scripted, make):
    """The second leaves at the fourth step; the other two go on."""
    alike = [config_of(seed=i, **k) for i, k in enumerate([{}, {"patience": 3}, {}])]
    kept = [config_of(0, keep="best"), config_of(1, patience=3, keep="best"), config_of(2)]
    elbos = [PEAKS, FALLS, FALLS]
    _, states = scripted(alike, elbos)
    result, _ = scripted(kept, elbos, make)
    assert result.endings == (curves.Ending(10, 2), curves.Ending(4, 1), curves.Ending(10, 10))
    for name, tensor in result.model.state_dict().items():
        torch.testing.assert_close(tensor[0], states[2][name][0])
        torch.testing.assert_close(tensor[1], states[1][name][1])
        torch.testing.assert_close(tensor[2], states[-1][name][2])


def test_best_weights_do_not_hide_that_a_run_diverged(scripted):
    class LastLossLost(EagerStep):
        num_taken = 0

        def __call__(self, *arguments):
            taken = super().__call__(*arguments)
            self.num_taken += 1
            if self.num_taken == NUM_STEPS:
                with torch.no_grad():
                    next(self.model.parameters())[1] = float("nan")
            return taken

    configs = [config_of(seed=seed, keep="best") for seed in range(2)]
    result, _ = scripted(configs, [PEAKS, PEAKS], step_by_step(LastLossLost))
    assert result.diverged_at == (None, NUM_STEPS - 1)
    assert result.endings == (curves.Ending(10, 2), None)


# ------------------------------------------------------------------ what a run is known by


def test_runs_whose_numbers_are_as_before_keep_their_ids():
    plain, warm = tiny(), tiny(rate_weight=schedule("linear"))
    assert (plain.id, warm.id) == ("1836a26b1a6d422c", "b946beb280999fc8")
    assert not [name for name in plain.settings if name.startswith("train.keep")]


def test_runs_with_patience_and_of_best_weights_are_others():
    ids = [config_of(num_steps=12, **t).id for t in ({}, {"patience": 3}, {"keep": "best"})]
    assert len(set(ids)) == 3
    assert ids[1] != "d93fd6ff83155520", (
        "an earlier version's run with patience, which may have stopped early"
    )
    assert config_of(keep="best").settings["train.keep"] == "best"


# ------------------------------------------------------------------ where it is said


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two variants of two runs: by a wild rate and patience 1 most stop early."""
    out = tmp_path_factory.mktemp("early")
    settings = {"num_steps": 40, "batch_size": 16, "learning_rate": 0.3, "patience": 1}
    common = {"train": settings, "evaluate": {"num_samples": 2, "num_images": 10}}
    common["evaluate"]["gradings"] = ["likelihood"]
    configs = [
        tiny(seed=seed, objective=o, **common) for o in ("elbo", "elbo_mc") for seed in (0, 1)
    ]
    train_all(configs, out, "early", executor="inline")
    return out


def test_it_is_in_records_rows_tables_and_words(folder):
    endings = {r.run: r.training for r in results.records(folder)}
    early = [t for t in endings.values() if t.steps < 40]
    assert early, "none stopped: nothing is seen here"
    assert all(t.num_steps == 40 and t.kept == t.steps for t in endings.values())
    rows = results.load(folder)
    assert {r: t.steps for r, t in endings.items()} == dict(
        zip(rows["run"], rows["steps"], strict=True)
    )
    table = summarise(rows)
    first = table["training"].dropna().iloc[0]
    assert " runs stopped at " in first
    assert first.endswith(" of 40 steps; the last weights are kept")
    assert first in markdown(table)
    assert any(note.startswith("§ ") and first in note for note in footnotes(table))
    assert any("§" in cell for cell in printable(table)["seeds"])
    compared = comparisons(rows)
    assert any(first in sentence for sentence in in_words(compared))
    assert first in {*compared["worse_training"], *compared["better_training"]}


def test_a_record_without_the_field_is_read_by_its_curve(folder, tmp_path):
    """A record as an earlier version wrote it."""
    results.prepare(tmp_path)
    for record in results.records(folder):
        old = {n: getattr(record, n) for n in record.__struct_fields__ if n != "training"}
        results.write(tmp_path, results.Record(**old))
    pd.testing.assert_frame_equal(results.load(tmp_path), results.load(folder))


def test_the_curve_of_a_run_that_stopped_has_a_cross(folder):
    drawn = results.curves(folder)
    figure = learning_curves(drawn)
    (axes,) = figure.axes
    ends = drawn.groupby("run").last()
    expected = sorted(ends.loc[ends["steps"] < 40, "step"])
    crosses = [line for line in axes.lines if line.get_marker() == "x"]
    assert sorted(step for line in crosses for step in line.get_xdata()) == expected
    assert "stopped early" in axes.get_xlabel()
    close(figure)


def test_nothing_is_said_of_runs_that_went_to_their_end(tmp_path):
    train_all([tiny(seed=seed) for seed in (0, 1)], tmp_path, "whole", executor="inline")
    rows = results.load(tmp_path)
    assert rows["steps"].eq(12).all()
    assert "training" not in summarise(rows)
    assert not [note for note in footnotes(summarise(rows)) if note.startswith("§")]


def test_the_command_line_says_which_weights_are_kept(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(
        'name = "kept"\n[base]\nobjective = "elbo"\nlikelihood = "bernoulli"\n'
        'data = {binarisation = "threshold"}\nmodel = {latent_dim = 2, widths = [8]}\n'
        'train = {num_steps = 40, batch_size = 16, learning_rate = 1.0, keep = "best"}\n'
        'evaluate = {num_samples = 2, num_images = 10, gradings = ["likelihood"]}\n'
        "[axes]\nseed = [0, 1]\n"
    )
    out = tmp_path / "out"
    arguments = ["run", str(path), "--out", str(out), "--executor", "inline", "--no-timings"]
    done = CliRunner().invoke(main, arguments)
    low, high = sorted(r.training.kept for r in results.records(out))
    assert low < high < 40
    assert f"the best weights are kept, of step {low} to {high}\n" in done.output


def test_the_curves_of_layers_are_their_rates_on_validation_images():
    codes = {"posterior": "ladder", "prior": "hierarchical"}
    settings = {"num_steps": 2, "batch_size": 16}
    configs = [tiny(**codes, seed=seed, train=settings) for seed in (0, 1)]
    dataset = load("digits", "dynamic")
    trained = train(configs, dataset, CPU)
    for run, curve in enumerate(trained.curves):
        of_layers = [curve[f"rate_layer_{i}_nats"] for i in (1, 2)]
        assert [len(values) for values in of_layers] == [len(curve["step"])] * 2
        x = dataset.observations("valid")[:1000]
        noise = streams(configs, "curve").named("layers")
        rates = rates_of_layers(trained.model, x, noise, num_samples=1)[run].mean(0)
        last = torch.tensor([values[-1] for values in of_layers]).double()
        torch.testing.assert_close(last, rates)
