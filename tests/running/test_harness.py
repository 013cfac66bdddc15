"""The main job: nothing lost, nothing repeated, the same records every time."""

import subprocess
import sys
from contextlib import contextmanager

import pytest

import vaebench as vb
from tests.support.graphs import needs_compiler
from tests.support.kills import background, contents, wait_until
from tests.support.runs import run_config, tiny
from vaebench import results
from vaebench.config.resolve import resolve
from vaebench.running import prepare, schedule
from vaebench.running.executors import EXECUTORS
from vaebench.running.harness import train_all
from vaebench.running.meter import Meter
from vaebench.running.plan import StackPlan, stacks
from vaebench.training.kind import step_kind
from vaebench.training.stepping import compiled
from vaebench.training.stepping.ways import STEP, WAYS, never, taken

FEW = {"num_samples": 5, "num_images": 40, "extractor": "raw"}


@pytest.mark.parametrize("executor", ["inline", "local"])
def test_a_study_gives_a_row_per_run_and_metric(study, tmp_path, executor):
    rows = vb.run(study(), tmp_path / "out", executor=executor)
    trained = rows[rows["seed"].notna()]
    assert trained["run"].nunique() == 4
    assert set(trained["status"]) == {"done"}
    assert {
        "nll",
        "elbo",
        "rate",
        "distortion",
        "bits_per_dim",
        "active_units",
        "mse",
        "frechet",
    } <= set(trained["metric"])
    timed = rows[rows["seed"].isna()]
    assert timed["run"].nunique() == 2
    assert set(timed["metric"]) == {
        "step_time",
        "step_time_q20",
        "step_time_q80",
        "step_time_ratio",
        "examples_per_s",
        "peak_memory",
    }
    assert (timed["value"] > 0).all()
    assert len(list((tmp_path / "out" / "samples").glob("*.png"))) == 4
    assert rows.equals(vb.load(tmp_path / "out"))


def test_configurations_made_in_python_run_like_a_study(tmp_path, tiny_npz):
    configs = [
        vb.RunConfig(
            objective=vb.Choice("beta_elbo", {"beta": beta}),
            likelihood=vb.Choice("bernoulli"),
            data=vb.DataConfig(name=str(tiny_npz), binarisation="static"),
            model=vb.ModelConfig(latent_dim=2, widths=(8,)),
            train=vb.TrainConfig(num_steps=12, batch_size=16),
            evaluate=vb.EvaluateConfig(num_samples=3, num_images=20),
        )
        for beta in (0.5, 2.0)
    ]
    rows = vb.run(configs, tmp_path / "out", executor="inline", timings=False)
    assert set(rows["variant"]) == {"beta_elbo(beta=0.5)", "beta_elbo(beta=2)"}
    assert set(rows["hyper"]) == {'{"beta":0.5}', '{"beta":2.0}'}
    assert all(hasattr(vb, name) for name in vb.__all__)


def test_the_same_twice_gives_identical_records(study, tmp_path):
    for name in "ab":
        vb.run(study(), tmp_path / name, executor="inline", timings=False)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


@pytest.mark.slow
@pytest.mark.parametrize("steps", ["eager", pytest.param("compiled", marks=needs_compiler)])
def test_one_worker_and_two_give_identical_records(tmp_path, steps):
    """Curves, metrics, hashes of weights: three runs in one stack, and in stacks of one and two."""
    configs = resolve([run_config(seed=seed, evaluate=FEW) for seed in range(3)])
    compiles = {"eager": "never", "compiled": "always"}[steps]
    for workers in (1, 2):
        out = tmp_path / f"{workers}"
        train_all(configs, out, "s", workers=workers, compiles=compiles)
        records = list(results.records(out))
        assert {(r.status, taken(r.operations[STEP])) for r in records} == {("done", steps)}
        assert all(r.weights and r.curves for r in records)
    assert contents(tmp_path / "1") == contents(tmp_path / "2")


def test_what_is_there_is_not_run_again(study, tmp_path, monkeypatch):
    out = tmp_path / "out"
    vb.run(study(), out, executor="inline", timings=False)
    before = {path: path.stat().st_mtime_ns for path in (out / "runs").iterdir()}
    gone = min(before)
    gone.unlink()
    vb.run(study(), out, executor="inline", timings=False)
    after = {path: path.stat().st_mtime_ns for path in (out / "runs").iterdir()}
    assert {path for path in before if after[path] != before[path]} == {gone}


def test_a_new_timing_pass_takes_the_place_of_the_old(study, tmp_path):
    out = tmp_path / "out"
    first = vb.run(study(), out, executor="inline")
    again = vb.run(study(), out, executor="inline")
    assert again.equals(first)
    path = study()
    path.write_text(path.read_text().replace("[0, 1]", "[0, 1, 2]"))
    more = vb.run(path, out, executor="inline")
    timed = more[more["metric"] == "step_time"]
    assert timed["variant"].to_list() == ["elbo", "iwae K=2"]
    assert timed["protocol"].str.startswith("3 runs stacked").all()


@pytest.mark.slow
def test_killed_and_started_again_a_study_completes(study, tmp_path):
    """kill -9 of the whole process group, as soon as a first run is recorded."""
    out, path = tmp_path / "out", study(num_steps=400)
    code = f"import vaebench as vb; vb.run({str(path)!r}, {str(out)!r}, workers=1, timings=False)"
    with background([sys.executable, "-c", code], stderr=subprocess.PIPE) as process:
        wait_until("a first run is recorded", lambda: contents(out), process)
    kept = contents(out)
    vb.run(path, out, workers=1, timings=False)
    vb.run(path, tmp_path / "whole", workers=1, timings=False)
    assert contents(out).keys() == contents(tmp_path / "whole").keys()
    assert len(contents(out)) == 4
    assert {name: contents(out)[name] for name in kept} == kept


def test_stacks_hold_runs_that_differ_in_scalars_and_are_even():
    configs = [tiny(seed=i) for i in range(20)] + [tiny(objective="elbo_mc", seed=0)]
    sizes = [len(stack) for stack in stacks(configs, max_size=8)]
    assert sizes == [6, 7, 7, 1]
    assert all(len({c.stack_key for c in stack}) == 1 for stack in stacks(configs))


def test_every_executor_has_the_interface():
    assert set(EXECUTORS) == {"local", "inline", "ray", "slurm"}


def test_graphs_are_compiled_before_the_stacks_and_counted(tmp_path, tiny_npz, monkeypatch):
    """Each once, though two stacks call it; the next run of the study finds them on disk."""
    variants = [(o, seed) for o in ("elbo", "iwae") for seed in (0, 1)]
    configs = resolve([tiny(tiny_npz, objective=o, seed=seed) for o, seed in variants])
    objectives, kinds, heard, stood = [], set(), [], []
    monkeypatch.setattr(prepare, "plan", lambda c, *_: StackPlan(stacks(c, 1), 1))
    monkeypatch.setattr(compiled, "problem", lambda: "")
    monkeypatch.setattr(schedule, "graphs_on_disk", lambda wanted: set(kinds))

    def compile_graph(config, dataset):
        objectives.append(config.objective.name)
        kinds.add(step_kind(config, dataset))

    @contextmanager
    def progress(what, total):
        heard.append(what)
        yield Meter(on_standing=stood.append)

    monkeypatch.setattr(compiled, "compile_graph", compile_graph)
    monkeypatch.setitem(WAYS._entries, "compiled", never)
    always = {"executor": "inline", "compiles": "always", "progress": progress}
    train_all(configs, tmp_path / "out", "s", **always)
    assert sorted(objectives) == ["elbo", "iwae"]
    assert heard[0].endswith("2 of 2 variants are compiled, to 2 graphs")
    compiling = [one.compiling_words for one in stood[:4]]
    assert [words.rpartition(": ")[2] for words in compiling] == [
        *("0 of 2 graphs ready", "", "1 of 2 graphs ready", ""),
    ]
    assert [one.words for one in stood[5::2]] == [f"{n} of 4 runs done" for n in (1, 2, 3, 4)]
    train_all(configs, tmp_path / "again", "s", **always)
    assert sorted(objectives) == ["elbo", "iwae"]
