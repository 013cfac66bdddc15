"""One study or sweep at a time in a folder, and figures that are added at once all stay."""

import fcntl
import os
import subprocess
import sys
import threading

import msgspec
import pytest

import vaebench as vb
from tests.support.kills import background
from tests.support.runs import tiny
from vaebench import results
from vaebench.config.resolve import resolve
from vaebench.core.errors import InputError, InputWarning
from vaebench.results import metric
from vaebench.running import regrade as regrading
from vaebench.running.harness import train_all
from vaebench.running.regrade import Request, regrade

HOLDER = """
import subprocess, sys, time
from pathlib import Path
from vaebench import results
with results.alone(Path(sys.argv[1])):
    child = subprocess.Popen(["sleep", "600"])
    print(child.pid, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def out(tmp_path):
    results.prepare(tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def graded(out, tiny_npz):
    """A folder with two runs of one stack."""
    configs = resolve([tiny(tiny_npz, seed=i) for i in range(2)])
    train_all(configs, out, "s", executor="inline")
    return out


def test_a_second_run_is_refused_by_name_before_anything_is_trained(out, tiny_npz):
    said = rf"one run or sweep at a time in {out}; another is at work \(pid {os.getpid()} on .*, "
    with results.alone(out), pytest.raises(InputError, match=rf"{said}since 2.*\): wait"):
        vb.run([tiny(tiny_npz)], out, executor="inline", timings=False)
    assert not list((out / "runs").iterdir())
    vb.run([tiny(tiny_npz)], out, executor="inline", timings=False)
    assert len(list((out / "runs").iterdir())) == 1


def test_a_second_thread_is_refused_too(out):
    refused = []

    def come_second():
        try:
            with results.alone(out):
                pass
        except InputError as error:
            refused.append(error)

    with results.alone(out):
        second = threading.Thread(target=come_second)
        second.start()
        second.join()
    assert len(refused) == 1


def test_the_lock_ends_with_its_process_though_a_child_lives_on(out):
    command = [sys.executable, "-c", HOLDER, str(out)]
    with background(command, stdout=subprocess.PIPE) as holder:
        child = int(holder.stdout.readline())
        with (
            pytest.raises(InputError, match=f"another is at work .pid {holder.pid} on "),
            results.alone(out),
        ):
            pass
        holder.kill()
        holder.wait()
        os.kill(child, 0)  # it is still there
        with results.alone(out):
            pass


def test_a_file_system_without_locks_is_said_and_worked_on(out, monkeypatch):
    def absent(file, how):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", absent)
    with (
        pytest.warns(InputWarning, match=rf"{out} is on a file system without locks \(Operation"),
        results.alone(out),
    ):
        pass


def test_readers_take_no_lock(graded):
    with results.alone(graded), results.changing(graded):
        assert len(list(results.records(graded))) == 2
        assert not results.load(graded).empty


def test_figures_of_two_gradings_at_once_are_all_kept(graded, monkeypatch):
    """The second reads, grades and writes while the first grades."""
    evaluate = regrading.evaluate

    def with_another_between(subject, gradings):
        monkeypatch.setattr(regrading, "evaluate", evaluate)
        regrade(Request(graded, gradings=["latent"]), keep=True)
        return evaluate(subject, gradings)

    for record in results.records(graded):
        results.write(graded, msgspec.structs.replace(record, metrics=[]))
        (graded / "examples" / f"{record.run}.npz").unlink()
    monkeypatch.setattr(regrading, "evaluate", with_another_between)
    rows = regrade(Request(graded, gradings=["likelihood"]), keep=True)
    assert {"nll", "elbo"} <= {row["metric"] for row in rows}
    for record in results.records(graded):
        assert {"nll", "active_units"} <= {m.metric for m in record.metrics}
        assert {"nll", "collapsed"} <= {m.metric for m in record.metrics}
        assert "nll" in results.examples(graded, record.run)


def test_many_writers_lose_nothing(graded):
    (record, _) = results.records(graded)
    names = ["mse", "ess", "mig", "sap", "kid", "recall", "density", "coverage"]

    def add(name):
        results.add(graded, record, [metric(name, 1.0)], {name: [1.0]})

    writers = [threading.Thread(target=add, args=[name]) for name in names]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    (added, _) = results.records(graded)
    assert set(names) <= {m.metric for m in added.metrics}
    assert set(names) <= set(results.examples(graded, record.run))


def test_figures_of_a_run_that_was_trained_again_meanwhile_are_not_added(graded, monkeypatch):
    evaluate = regrading.evaluate
    (changed, other) = results.records(graded)

    def meanwhile(subject, gradings):
        results.write(graded, msgspec.structs.replace(changed, weights="0" * 64))
        return evaluate(subject, gradings)

    monkeypatch.setattr(regrading, "evaluate", meanwhile)
    rows = regrade(Request(graded, gradings=["latent"]), keep=True)
    (refused,) = [row for row in rows if not row["metric"]]
    assert refused["run"] == changed.run
    assert f"{changed.run}.json changed while the run was graded" in refused["trust"]
    kept = {r.run: {m.metric for m in r.metrics} for r in results.records(graded)}
    assert "active_units" in kept[other.run]


def test_what_is_done_is_not_lost_to_a_later_failure(graded):
    (record, _) = results.records(graded)
    results.write(graded, msgspec.structs.replace(record, status="failed", reason="late"))
    assert results.recorded(graded)[record.run] == "done"
