"""`run --dry-run`: what would be done, what it costs and what is refused; nothing is written."""

import json

import pytest

from tests.test_cli import STUDY, call
from vaebench.config.study import expand, read
from vaebench.running import dry_run as dry_runs
from vaebench.running.choosing import COMPILING_S
from vaebench.running.harness import train_all
from vaebench.running.timing import NUM_ROUNDS, ROUND_SECONDS


@pytest.fixture
def study(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(STUDY)
    return path


def dry(study, *options, status=0):
    what = ("--dry-run", "--json", "--no-timings")
    done = call("run", study, "--out", study.parent / "out", *what, *options)
    assert done.exit_code == status, done.output
    return json.loads(done.stdout)


def test_what_would_be_done_is_said_and_nothing_is_written(study):
    said = call("run", study, "--out", study.parent / "out", "--dry-run", "--workers", "1")
    assert said.exit_code == 0, said.output
    assert "would train 4 runs: stacks: 2 (of 2), workers: 1" in said.stdout
    assert "elbo_mc (bernoulli) x 2" in said.stdout
    assert "compiled steps save the study" in said.stdout
    assert "and the samples of the NLL, and the timing pass\n" in said.stdout
    assert "not in it: the gradings latent, samples, two_sample\n" in said.stdout
    assert said.stdout.endswith("nothing was written\n")
    assert [path.name for path in study.parent.iterdir()] == ["tiny.toml"]


def test_figures_add_up_and_a_recorded_run_is_not_counted(study):
    stated = dry(study, "--workers", "1", "--compile", "never")
    configs = expand(read(study))
    assert {row["run"] for row in stated["runs"]} == {config.id for config in configs}
    assert {row["state"] for row in stated["runs"]} == {"to train"}
    of_stacks = [stack["core_seconds"] for stack in stated["stacks"]]
    assert stated["seconds"] == stated["core_seconds"] == pytest.approx(sum(of_stacks))
    assert stated["timing_seconds"] == 0
    assert stated["not_foretold"] == ["latent", "samples", "two_sample"]
    timed = dry(study, "--workers", "1", "--compile", "never", "--timings")
    of_rounds = 2 * (1 + NUM_ROUNDS) * ROUND_SECONDS  # of two variants, whose steps are short
    assert of_rounds < timed["timing_seconds"] < 1.5 * of_rounds
    assert timed["seconds"] == pytest.approx(stated["seconds"] + timed["timing_seconds"])
    assert stated["memory_bytes"] == max(stack["memory_bytes"] for stack in stated["stacks"])
    train_all(configs[:1], study.parent / "out", "tiny", executor="inline")
    again = dry(study, "--workers", "1", "--compile", "never")
    assert [row["state"] for row in again["runs"]].count("done") == 1
    assert sum(stack["runs"] for stack in again["stacks"]) == 3
    assert again["core_seconds"] < stated["core_seconds"]
    assert again["disk_bytes"] == pytest.approx(stated["disk_bytes"] * 3 / 4)


def test_graphs_that_are_not_on_disk_cost_their_compilation(study, monkeypatch):
    monkeypatch.setattr("vaebench.running.schedule.graphs_on_disk", lambda kinds: set())
    monkeypatch.setattr("vaebench.training.stepping.compiled.problem", lambda: "")
    stated = dry(study, "--compile", "always", "--workers", "1")
    assert stated["num_graphs"] == 2
    of_stacks = sum(stack["core_seconds"] for stack in stated["stacks"])
    assert stated["core_seconds"] == pytest.approx(of_stacks + 2 * COMPILING_S)


def test_refusals_are_listed_with_their_reasons_and_give_the_status_of_the_study(study):
    axis = "axes.posterior=['diagonal_gaussian', 'categorical']"
    stated = dry(study, "--set", axis, status=2)
    assert len(stated["runs"]) == len(stated["refused"]) == 4
    for refused in stated["refused"]:
        assert refused["settings"]["posterior"] == "categorical"
        assert "posterior" in refused["reason"]
    said = call("run", study, "--dry-run", "--set", axis, "--set", "axes.seed=[0, 1, 2, 3, 4]")
    assert said.exit_code == 2
    assert "10 of 20 combinations are refused" in said.stderr
    assert said.stdout.count("objective=elbo, posterior=categorical") == 3
    assert said.stdout.count("and 2 more") == 2, "for each of two reasons"


def test_refused_entries_are_named_as_in_tables(study):
    scheduled, wrong = "{name='linear', stop=3}", "{name='elbo', beta=[1]}"
    entries = f"[{{name='beta_elbo', beta=-2.0}}, {{name='elbo', beta={scheduled}}}, {wrong}]"
    said = call(
        "run", study, "--dry-run", "--set", f"axes.objective={entries}", "--set", "axes.seed=1"
    )
    assert said.exit_code == 2
    assert "objective=beta_elbo(beta=-2)" in said.stdout
    assert "objective=elbo(beta=linear(stop=3))" in said.stdout
    assert "objective={'name': 'elbo', 'beta': [1]}" in said.stdout


@pytest.mark.parametrize(
    ("budget", "trials"),
    [(["--trials", "3"], 3), (["--steps", "100"], 5), (["--decoder-evaluations", "385"], 2)],
)
def test_a_sweep_is_foretold_by_its_trials(study, budget, trials):
    """A trial is two runs of twelve steps, each step of 16 decoder evaluations."""
    pytest.importorskip("optuna")
    options = ["--out", study.parent / "out", "--dry-run", "--compile", "never", *budget]
    said = call("sweep", study, *options)
    assert said.exit_code == 0, said.output
    assert said.stdout.endswith("nothing was written\n")
    stated = json.loads(call("sweep", study, *options, "--json").stdout)
    assert [row["trials"] for row in stated["variants"]] == [trials] * 2
    assert {row["searched"] for row in stated["variants"]} == {"train.learning_rate"}
    first = stated["variants"][0]
    one = dry(study, "--workers", "1", "--compile", "never")["stacks"][0]["core_seconds"]
    assert first["core_seconds"] == pytest.approx(one * (trials + first["final_runs"] / 2))
    assert stated["core_seconds"] == pytest.approx(
        sum(r["core_seconds"] for r in stated["variants"])
    )
    assert [path.name for path in study.parent.iterdir()] == ["tiny.toml"]


def test_a_gpu_is_not_foretold(study, monkeypatch):
    monkeypatch.setattr(dry_runs, "cost_here", lambda configs, stepping, device: None)
    stated = dry(study)
    assert stated["seconds"] is stated["memory_bytes"] is None
    said = call("run", study, "--out", study.parent / "out", "--dry-run").stdout
    assert "time and memory are not foretold" in said
