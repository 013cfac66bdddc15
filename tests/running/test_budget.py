"""Equal budgets: each variant has the steps that they give it, and what cannot be is refused."""

import json

import pytest
from click.testing import CliRunner

from vaebench import results
from vaebench.cli import main

STUDY = """
name = "equal"
[base]
likelihood = "bernoulli"
data = {{ name = "{data}", binarisation = "static" }}
model = {{ latent_dim = 2, widths = [8] }}
train = {{ batch_size = 8 }}
evaluate = {{ num_samples = 5, num_images = 40 }}
[axes]
variant = [{{ objective = "elbo" }}, {{ objective = "iwae", num_samples = 5 }}]
"""


@pytest.fixture
def study(tmp_path, tiny_npz):
    path = tmp_path / "study.toml"
    path.write_text(STUDY.format(data=tiny_npz))
    return path


def call(study, out, *settings, timings=False):
    options = [word for setting in settings for word in ("--set", setting)]
    timed = () if timings else ("--no-timings",)
    words = ["run", study, "--out", out, "--executor", "inline", *timed, *options]
    return CliRunner().invoke(main, [str(word) for word in words])


def steps_of(out):
    return {r.labels.objective: r.training.num_steps for r in results.records(out)}


def test_equal_steps_and_equal_decoder_evaluations(study, tmp_path):
    assert call(study, tmp_path / "a", "budget.steps=12").exit_code == 0
    assert steps_of(tmp_path / "a") == {"elbo": 12, "iwae": 12}
    assert call(study, tmp_path / "b", "budget.decoder_evaluations=490").exit_code == 0
    assert steps_of(tmp_path / "b") == {"elbo": 490 // 8, "iwae": 490 // 40}
    rows = json.loads((tmp_path / "b" / "budget.json").read_text())
    assert [row["decoder_evaluations"] for row in rows] == [61 * 8, 12 * 40]
    assert all(row["budget"] == {"decoder_evaluations": 490} for row in rows)


def test_equal_seconds_by_a_recorded_timing_pass(study, tmp_path):
    """The times are those of the file, so the study is the same whenever it is run."""
    timed = tmp_path / "timed"
    assert call(study, timed, "budget.steps=12", timings=True).exit_code == 0
    ms = {
        t.labels.objective: next(m.value for m in t.metrics if m.metric == "step_time")
        for t in results.timings(timed)
    }
    seconds = 0.02 * max(ms.values())
    settings = (f"budget.seconds={seconds}", f"budget.timings={timed}")
    assert call(study, tmp_path / "a", *settings).exit_code == 0
    assert steps_of(tmp_path / "a") == {name: int(1e3 * seconds / of) for name, of in ms.items()}
    rows = json.loads((tmp_path / "a" / "budget.json").read_text())
    assert [row["step_time_ms"] for row in rows] == [ms["elbo"], ms["iwae"]]
    curves = results.curves(timed).set_index("objective").loc["iwae"]
    assert (curves["decoder_evaluations"] == curves["step"] * 40).all()
    assert (curves["seconds"] == curves["step"] * (ms["iwae"] / 1e3)).all()


WRONG = {
    "two": (["budget.steps=3", "budget.seconds=2"], "budget must be one of steps, decoder_eval"),
    "none": (["budget={}"], "budget must be one of steps, decoder_evaluations, seconds; got none"),
    "no folder": (["budget.seconds=2"], "budget.seconds and budget.timings go together"),
    "not timed": (["budget.seconds=2", "budget.timings=nowhere"], "nowhere has none: `vaebench "),
    "both": (["budget.steps=3", "base.train.num_steps=3"], "train.num_steps does nothing, [bud"),
    "too small": (["budget.decoder_evaluations=30"], "one of iwae K=5 takes 40 decoder evaluat"),
    "unknown": (["budget.hours=3"], "hours"),
    "negative": (["budget.steps=-3"], "budget.steps"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_budget_that_cannot_be_is_refused_in_one_line(study, tmp_path, wrong):
    settings, problem = WRONG[wrong]
    done = call(study, tmp_path / "out", *settings)
    assert done.exit_code == 2, done.output
    (line,) = done.stderr.splitlines()
    assert problem in line and not (tmp_path / "out").exists()


def test_a_variant_that_was_not_timed_is_named(study, tmp_path):
    timed = tmp_path / "timed"
    other = 'axes.variant=[{objective="elbo"}]'
    assert call(study, timed, "budget.steps=12", other, timings=True).exit_code == 0
    done = call(study, tmp_path / "out", "budget.seconds=1", f"budget.timings={timed}")
    assert done.exit_code == 2 and "has no time of iwae K=5 (bernoulli)" in done.stderr
