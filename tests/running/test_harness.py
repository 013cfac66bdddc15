"""The main job: nothing lost, nothing repeated, the same records every time."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

import vaebench as vb
from tests.support.runs import tiny
from vaebench import results
from vaebench.config.study import resolve
from vaebench.core.errors import InputError
from vaebench.running import harness, schedule
from vaebench.running.executors import EXECUTORS
from vaebench.running.harness import train_all
from vaebench.running.meter import Meter
from vaebench.running.plan import StackPlan, stacks
from vaebench.training.kind import step_kind
from vaebench.training.stepping import compiled
from vaebench.training.stepping.ways import WAYS, never

STUDY = """
name = "tiny"
[base]
likelihood = "bernoulli"
model = {{ latent_dim = 2, widths = [8] }}
train = {{ num_steps = {num_steps}, batch_size = 16 }}
evaluate = {{ num_samples = 3, num_images = 20 }}
data = {{ name = "{data}", binarisation = "static" }}
[axes]
seed = [0, 1]
variant = [{{ objective = "elbo" }}, {{ objective = "iwae", num_samples = 2 }}]
"""


@pytest.fixture
def study(tmp_path, tiny_npz):
    def write(num_steps=12):
        path = tmp_path / "tiny.toml"
        path.write_text(STUDY.format(num_steps=num_steps, data=tiny_npz))
        return path

    return write


def contents(out: Path) -> dict[str, bytes]:
    """The records; a writer that was killed may leave a temporary file beside them."""
    return {path.name: path.read_bytes() for path in sorted((out / "runs").glob("*.json"))}


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


def test_what_is_there_is_not_run_again(study, tmp_path, monkeypatch):
    out = tmp_path / "out"
    vb.run(study(), out, executor="inline", timings=False)
    before = {path: path.stat().st_mtime_ns for path in (out / "runs").iterdir()}
    gone = min(before)
    gone.unlink()
    vb.run(study(), out, executor="inline", timings=False)
    after = {path: path.stat().st_mtime_ns for path in (out / "runs").iterdir()}
    assert {path for path in before if after[path] != before[path]} == {gone}


@pytest.mark.slow
def test_runs_of_another_version_are_not_joined(study, tmp_path, monkeypatch):
    """Their table would have two runs of one seed, of which one was drawn by other rules."""
    monkeypatch.setattr("vaebench.config.run_config.PROTOCOL", 0)
    vb.run(study(), tmp_path, executor="inline", timings=False)
    before = results.recorded(tmp_path)
    monkeypatch.undo()
    with pytest.raises(
        InputError, match=rf"{len(before)} of this study, as [0-9a-f]{{16}}, are of"
    ):
        vb.run(study(), tmp_path, executor="inline", timings=False)
    assert results.recorded(tmp_path) == before


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


def run_in_background(study: Path, out: Path) -> subprocess.Popen:
    code = f"import vaebench as vb; vb.run({str(study)!r}, {str(out)!r}, workers=1, timings=False)"
    return subprocess.Popen([sys.executable, "-c", code], start_new_session=True)


@pytest.mark.slow
def test_killed_and_started_again_a_study_completes(study, tmp_path):
    """kill -9 of the whole process group, as soon as a first run is recorded."""
    out, path = tmp_path / "out", study(num_steps=400)
    process = run_in_background(path, out)
    deadline = time.monotonic() + 120
    while not list((out / "runs").glob("*.json") if out.exists() else []):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = contents(out)
    vb.run(path, out, workers=1, timings=False)
    vb.run(path, tmp_path / "whole", workers=1, timings=False)
    assert contents(out).keys() == contents(tmp_path / "whole").keys()
    assert len(contents(out)) == 4
    assert {name: contents(out)[name] for name in kept} == kept


@pytest.mark.slow
def test_workers_whose_coordinator_is_gone_record_nothing(study, tmp_path):
    """kill -9 of the coordinator alone: its workers find nobody to tell, and end."""
    out = tmp_path / "out"
    process = run_in_background(study(num_steps=10_000_000), out)
    deadline = time.monotonic() + 120
    while not (workers := children(process.pid)) or time.monotonic() < deadline - 110:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert not contents(out)


def children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    if not path.exists():
        pytest.skip("needs /proc to find the workers")
    return [int(child) for child in path.read_text().split()]


PLUGIN = '''
from typing import Annotated

import vaebench as vb
from vaebench.models.likelihoods import LIKELIHOODS

bernoulli = LIKELIHOODS["bernoulli"]


@vb.objective(source="this test", bound="lower", same_as=(vb.SameAs("elbo", at={"gamma": 1.0}),))
def my_elbo(t: vb.Terms, *, gamma: Annotated[vb.Scalar, vb.Hyper((0.5, 2.0))] = 1.0):
    """The ELBO with a factor on its rate."""
    return t.distortion + gamma * t.rate


@vb.likelihood(
    source="this test", measure="mass", support=bernoulli.support, mean=bernoulli.mean
)
def my_bernoulli(x, out):
    """The registered one under another name."""
    return bernoulli.log_prob(x, out)


@vb.objective(source="this test", bound="none")
def raises(t: vb.Terms):
    """An objective that fails."""
    raise RuntimeError("on purpose")


@vb.objective(source="this test", bound="none")
def dies(t: vb.Terms):
    """An objective that takes its process with it."""
    import os

    os.kill(os.getpid(), 9)
'''


@pytest.fixture
def plugin(tmp_path):
    """A plugin file, whose registrations are taken back after the test."""
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)
    yield str(path)
    forget()


def forget() -> None:
    from vaebench.core.sources import surroundings
    from vaebench.models.likelihoods import LIKELIHOODS
    from vaebench.objectives import OBJECTIVES

    for registry in (OBJECTIVES, LIKELIHOODS):
        for name in ("my_elbo", "raises", "dies", "my_bernoulli"):
            registry._entries.pop(name, None)
    surroundings._known.clear()


def variant(study: Path, objective: str) -> Path:
    study.write_text(study.read_text().replace('"elbo"', f'"{objective}"'))
    return study


def test_a_plugin_trains_is_evaluated_and_appears_in_the_table(study, tmp_path, plugin):
    from vaebench.report import write_report

    out = tmp_path / "out"
    vb.run(variant(study(), "my_elbo"), out, plugins=[plugin], timings=False)
    table, _ = write_report(out, tmp_path / "report")
    assert set(table["variant"]) == {"my_elbo(gamma=1)", "iwae K=2"}
    assert table["rank"].notna().all()
    assert "my_elbo(gamma=1)" in (tmp_path / "report" / "table.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "mine", "old", "new"),
    [
        ("elbo", "my_elbo", "gamma * t.rate", "gamma**2 * t.rate"),
        (
            "bernoulli",
            "my_bernoulli",
            "bernoulli.log_prob(x, out)",
            "2 * bernoulli.log_prob(x, out)",
        ),
    ],
)
def test_an_edited_plugin_is_run_again_on_a_line_of_its_own(
    study, tmp_path, plugin, name, mine, old, new
):
    path, out = study(), tmp_path / "out"
    path.write_text(path.read_text().replace(f'"{name}"', f'"{mine}"', 1))
    before = vb.run(path, out, plugins=[plugin], executor="inline", timings=False)
    forget()
    assert old in PLUGIN
    Path(plugin).write_text(PLUGIN.replace(old, new))
    after = vb.run(path, out, plugins=[plugin], executor="inline", timings=False)
    mine_only = after[after.eq(mine).any(axis=1) | after["variant"].str.startswith(mine)]
    assert after["run"].nunique() > before["run"].nunique()
    assert mine_only.groupby(["variant", "settings"])["run"].nunique().eq(2).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("objective", "reason"), [("raises", "on purpose"), ("dies", "worker died")]
)
def test_a_run_that_fails_is_a_row_with_its_reason(study, tmp_path, plugin, objective, reason):
    rows = vb.run(
        variant(study(), objective), tmp_path / "out", plugins=[plugin], workers=2, timings=False
    )
    failed = rows[rows["status"] == "failed"]
    assert failed["run"].nunique() == 2
    assert failed["reason"].str.contains(reason).all()
    assert rows[rows["objective"] == "iwae"]["run"].nunique() == 2


@pytest.mark.slow
def test_a_failed_run_is_tried_again_and_a_diverged_one_is_not(study, tmp_path, plugin):
    out, path = tmp_path / "out", variant(study(), "raises")
    vb.run(path, out, plugins=[plugin], executor="inline", timings=False)
    before = {p: p.stat().st_mtime_ns for p in (out / "runs").glob("*.json")}
    vb.run(path, out, plugins=[plugin], executor="inline", timings=False)
    changed = {p for p in before if p.stat().st_mtime_ns != before[p]}
    assert {results.recorded(out)[p.stem] for p in changed} == {"failed"}

    wild = tiny(train={"num_steps": 60, "batch_size": 16, "learning_rate": 1e30})
    first = train_all(vb_resolved(wild), tmp_path / "wild", "s", executor="inline")
    assert set(first.values()) == {"diverged"}
    record = next((tmp_path / "wild" / "runs").iterdir())
    stamp = record.stat().st_mtime_ns
    train_all(vb_resolved(wild), tmp_path / "wild", "s", executor="inline")
    assert record.stat().st_mtime_ns == stamp
    (row,) = vb.load(tmp_path / "wild").to_dict("records")
    assert "not finite at step" in row["reason"]


def vb_resolved(*configs):
    from vaebench.config.study import resolve

    return resolve(configs)


def test_stacks_hold_runs_that_differ_in_scalars_and_are_even():
    configs = [tiny(seed=i) for i in range(20)] + [tiny(objective="elbo_mc", seed=0)]
    sizes = [len(stack) for stack in stacks(configs, max_size=8)]
    assert sizes == [6, 7, 7, 1]
    assert all(len({c.stack_key for c in stack}) == 1 for stack in stacks(configs))


def test_workers_and_executors_are_checked(study, tmp_path):
    with pytest.raises(InputError, match="at least one worker"):
        vb.run(study(), tmp_path / "out", workers=0)
    with pytest.raises(InputError, match="did you mean 'local'"):
        vb.run(study(), tmp_path / "out", executor="locla")
    assert not list((tmp_path / "out").rglob("*.json"))


def test_an_objective_of_the_calling_script_is_sent_to_a_file(study, tmp_path):
    from vaebench.objectives import OBJECTIVES, objective

    try:

        @objective(source="this test", bound="none")
        def local_elbo(t):
            return t.distortion

        with pytest.raises(InputError, match=r"plugins=\[...\], or use executor='inline'"):
            vb.run(variant(study(), "local_elbo"), tmp_path / "out")
    finally:
        OBJECTIVES._entries.pop("local_elbo", None)


def test_a_schedule_of_the_calling_script_is_sent_to_a_file(study, tmp_path):
    from vaebench.config.schedules import SCHEDULES

    path = study()
    text = path.read_text().replace("[base]", '[base]\nrate_weight = "local_schedule"', 1)
    path.write_text(text)
    try:

        @vb.schedule(source="this test")
        def local_schedule(progress):
            return 1.0

        with pytest.raises(InputError, match="workers cannot see 'local_schedule'"):
            vb.run(path, tmp_path / "out")
    finally:
        SCHEDULES._entries.pop("local_schedule", None)


def test_every_executor_has_the_interface():
    assert set(EXECUTORS) == {"local", "inline", "ray", "slurm"}


def test_graphs_are_compiled_before_the_stacks_and_counted(tmp_path, tiny_npz, monkeypatch):
    """Each once, though two stacks call it; the next run of the study finds them on disk."""
    variants = [(o, seed) for o in ("elbo", "iwae") for seed in (0, 1)]
    configs = resolve([tiny(tiny_npz, objective=o, seed=seed) for o, seed in variants])
    made, kinds, heard = [], set(), []
    monkeypatch.setattr(harness, "plan", lambda c, *_: StackPlan(stacks(c, 1), 1))
    monkeypatch.setattr(compiled, "problem", lambda: "")
    monkeypatch.setattr(schedule, "graphs_on_disk", lambda wanted: set(kinds))

    def compile_graph(config, dataset):
        made.append(config.objective.name)
        kinds.add(step_kind(config, dataset))

    @contextmanager
    def progress(what, total):
        heard.append(what)
        yield Meter(lambda steps: None, heard.append)

    monkeypatch.setattr(compiled, "compile_graph", compile_graph)
    monkeypatch.setitem(WAYS._entries, "compiled", never)
    always = {"executor": "inline", "compiles": "always", "progress": progress}
    train_all(configs, tmp_path / "out", "s", **always)
    assert sorted(made) == ["elbo", "iwae"]
    assert heard[0].endswith("2 of 2 variants are compiled, to 2 graphs")
    assert heard[1:4] == ["compiling 2 graphs", "compiled 1 of 2 graphs", "compiled 2 of 2 graphs"]
    assert heard[4:] == [f"{n} of 4 runs done" for n in (1, 2, 3, 4)]
    train_all(configs, tmp_path / "again", "s", **always)
    assert sorted(made) == ["elbo", "iwae"]
