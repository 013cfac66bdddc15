"""Whatever is killed, no record is lost or turned, and nothing is left running or lying about."""

import dataclasses
import os
import signal

import click
import pytest
from click.testing import CliRunner

import vaebench as vb
from tests.support.kills import (
    HELD,
    contents,
    is_gone,
    number_in,
    start,
    stop,
    unfinished,
    wait_until,
)
from tests.support.runs import tiny
from vaebench import results
from vaebench.cli.group import Group
from vaebench.config.study import resolve
from vaebench.core.errors import StorageError
from vaebench.core.sources import surroundings
from vaebench.objectives import OBJECTIVES
from vaebench.running import job as stack
from vaebench.running.executors import EXECUTORS, Executor, local
from vaebench.running.executors.attempts import Attempt, after_death
from vaebench.running.harness import train_all
from vaebench.running.job import Job, perform, record_failure
from vaebench.training.loop import train

STUDY = """
name = "held"
[base]
likelihood = "bernoulli"
model = {{ latent_dim = 2, widths = [8] }}
train = {{ num_steps = 4, batch_size = 16 }}
evaluate = {{ num_samples = 3, num_images = 20 }}
data = {{ name = "{data}", binarisation = "static" }}
[axes]
objective = [
    {{ name = "held", gamma = 1.0 }},
    {{ name = "held", gamma = 1.5 }},
    {{ name = "held", gamma = 2.0 }},
]
"""


@dataclasses.dataclass
class Study:
    """A study of three runs, of which the last is held, and where it goes."""

    path: str
    plugin: str
    out: object
    held_at: object

    def start(self):
        """The process, when its worker holds the third run; and the worker."""
        process = start(
            self.path, self.out, self.held_at, "--workers", "1", "--plugin", self.plugin
        )
        return process, wait_until(lambda: number_in(self.held_at), process)

    def complete(self):
        """A second run of the study, in this process."""
        return vb.run(self.path, self.out, plugins=[self.plugin], executor="inline", timings=False)


@pytest.fixture
def study(tmp_path, tiny_npz):
    path, plugin = tmp_path / "held.toml", tmp_path / "held.py"
    path.write_text(STUDY.format(data=tiny_npz))
    plugin.write_text(HELD)
    yield Study(str(path), str(plugin), tmp_path / "out", tmp_path / "held at")
    OBJECTIVES._entries.pop("held", None)
    surroundings._known.clear()


def assert_completes(study, kept):
    """A second run does what is missing, keeps what was there, and leaves no temporary file."""
    rows = study.complete()
    assert set(rows["status"]) == {"done"}
    assert rows["run"].nunique() == 3
    assert {name: contents(study.out)[name] for name in kept} == kept
    assert not unfinished(study.out)


# ------------------------------------------------------------------ the coordinator


def test_a_coordinator_that_is_told_to_end_says_what_is_kept(study):
    process, worker = study.start()
    kept = contents(study.out)
    assert len(kept) == 2
    status, errors = stop(process, signal.SIGTERM)
    assert status == 143
    assert is_gone(worker)
    assert "Traceback" not in errors
    last = errors.splitlines()[-1]
    assert f"stopped by SIGTERM; 2 of 3 runs are recorded in {study.out}; to go on: " in last
    assert last.endswith(f"--no-timings --workers 1 --plugin {study.plugin}")
    assert contents(study.out) == kept
    assert not unfinished(study.out)
    assert_completes(study, kept)


def test_a_coordinator_that_is_killed_takes_its_workers_along(study):
    process, worker = study.start()
    kept = contents(study.out)
    stop(process)
    assert is_gone(worker)
    assert contents(study.out) == kept
    assert_completes(study, kept)


@pytest.fixture
def handlers():
    """Those of before, after a command that was to be the last of its process."""
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield before
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_any_command_in_one_line_and_a_status_of_its_own(number, status, handlers):
    def work():
        try:
            os.kill(os.getpid(), number)
        finally:
            os.kill(os.getpid(), number)  # impatience does not interrupt what cleans up

    group = Group("vaebench", commands=[click.Command("work", callback=work)])
    done = CliRunner().invoke(group, ["work"], prog_name="vaebench")
    assert done.exit_code == status
    assert done.stderr == (
        f"vaebench: stopped by {signal.Signals(number).name}; to go on: vaebench work\n"
    )
    os.kill(os.getpid(), number)  # nor what else there is to do before the process ends


def test_a_terminal_that_is_gone_does_not_change_the_status(handlers):
    """A progress bar then fails as it is taken away."""

    def work():
        try:
            os.kill(os.getpid(), signal.SIGHUP)
        finally:
            raise OSError(5, "Input/output error")

    group = Group("vaebench", commands=[click.Command("work", callback=work)])
    assert CliRunner().invoke(group, ["work"], prog_name="vaebench").exit_code == 129


def test_a_command_that_ends_leaves_signals_as_they_were(handlers):
    group = Group("vaebench", commands=[click.Command("work", callback=lambda: None)])
    assert CliRunner().invoke(group, ["work"], prog_name="vaebench").exit_code == 0
    assert handlers == {number: signal.getsignal(number) for number in handlers}


def test_a_signal_that_is_ignored_stays_so(handlers):
    """As nohup has it."""
    work = click.Command("work", callback=lambda: os.kill(os.getpid(), signal.SIGHUP))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    done = CliRunner().invoke(Group("vaebench", commands=[work]), ["work"])
    assert done.exit_code == 0


def test_in_python_an_interrupt_stays_one_and_says_what_is_kept(tmp_path, tiny_npz, monkeypatch):
    configs = resolve([tiny(tiny_npz, seed=seed) for seed in (0, 1)])

    def interrupted(jobs, num_workers, on_steps):
        perform(dataclasses.replace(jobs[0], configs=tuple(configs[:1])), on_steps)
        yield jobs[0]
        raise KeyboardInterrupt

    monkeypatch.setitem(EXECUTORS._entries, "interrupted", Executor("interrupted", interrupted))
    with pytest.raises(KeyboardInterrupt) as caught:
        train_all(configs, tmp_path / "out", "s", executor="interrupted")
    assert type(caught.value) is KeyboardInterrupt
    assert caught.value.__notes__ == [f"1 of 2 runs are recorded in {tmp_path / 'out'}"]


# ------------------------------------------------------------------ workers


def test_a_busy_worker_that_is_killed_costs_no_run(study):
    process, worker = study.start()
    kept = contents(study.out)
    os.kill(worker, signal.SIGKILL)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "3 of 3 runs done" in errors
    assert_completes(study, kept)


FAULT = """
import os, time
from pathlib import Path
from vaebench.core.errors import StorageError
from vaebench.running.executors import EXECUTORS, local

def comes(name):
    '''Whether this is the first worker that gets here.'''
    try:
        Path({place!r}, name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True

class Faulty(local.Connection):
    def send_bytes(self, message):
        if message == local.BEGUN and comes("talks nonsense"):
            message = b"nonsense"
        if message == local.ENDED and comes("dies as it says that all is recorded"):
            os.write(self.fileno(), bytes([0, 0, 0, 5]) + b"en")
            os._exit(1)
        super().send_bytes(message)
        if message == local.ENDED and comes("dies idle"):
            os._exit(1)
        if message == local.ENDED and comes("dies idle, and what it forked keeps the connection"):
            if os.fork():
                os._exit(1)
            while not Path({place!r}, "all is over").exists():
                time.sleep(0.1)
            os._exit(0)

local.Connection = Faulty
if comes("cannot be imported"):
    raise ImportError("once")
"""
FAULTS = 5


def with_fault(monkeypatch, code):
    before, serving = local.WORKER.split("from vaebench.running.executors.local import serve")
    monkeypatch.setattr(
        local,
        "WORKER",
        f"{before}{code}\nfrom vaebench.running.executors.local import serve{serving}",
    )


def job(tmp_path, config):
    results.prepare(tmp_path / "out")
    return Job((config,), tmp_path / "out", "s")


def test_workers_that_die_without_a_job_are_replaced_and_no_job_is_charged(
    tmp_path, tiny_npz, monkeypatch
):
    """Every way once, over four jobs of one worker; each run has one try only."""
    monkeypatch.setattr("vaebench.running.executors.attempts.MAX_TRIES", 1)
    place = tmp_path / "faults"
    place.mkdir()
    with_fault(monkeypatch, FAULT.format(place=str(place)))
    configs = resolve([tiny(tiny_npz, seed=seed) for seed in range(4)])
    jobs = [job(tmp_path, config) for config in configs]
    try:
        for _ in local.run_local(jobs, 1, lambda steps: None):
            pass
    finally:
        (place / "all is over").touch()
    assert set(results.recorded(tmp_path / "out").values()) == {"done"}
    assert len(list(place.iterdir())) == FAULTS + 1


def test_what_a_worker_cannot_record_ends_the_study_in_one_line(tmp_path, tiny_npz, monkeypatch):
    """A full disk is no fault of the runs."""
    full = """
from vaebench.core.errors import StorageError
from vaebench.running.executors import local
def full(job, on_steps):
    raise StorageError("No space left on device")
local.perform = full
"""
    with_fault(monkeypatch, full)
    (config,) = resolve([tiny(tiny_npz)])
    with pytest.raises(StorageError, match="No space left on device"):
        list(local.run_local([job(tmp_path, config)], 1, lambda steps: None))
    assert not results.recorded(tmp_path / "out")


@pytest.mark.parametrize(
    ("executable", "reason"),
    [("/bin/false", "exit status 1"), ("/no/such/python", "No such file or directory")],
)
def test_where_no_worker_can_start_every_run_fails_with_the_reason(
    tmp_path, tiny_npz, monkeypatch, executable, reason
):
    monkeypatch.setattr(local.sys, "executable", executable)
    configs = resolve([tiny(tiny_npz, seed=seed) for seed in range(2)])
    jobs = [job(tmp_path, config) for config in configs]
    assert len(list(local.run_local(jobs, 2, lambda steps: None))) == 2
    records = list(results.records(tmp_path / "out"))
    assert [record.status for record in records] == ["failed"] * 2
    for record in records:
        assert "no worker could begin it: 3 in a row ended first" in record.reason
        assert reason in record.reason


# ------------------------------------------------------------------ records


@pytest.fixture
def settled(tmp_path, tiny_npz):
    """A job of three runs, of which one is done and one is diverged."""
    raw = {"num_steps": 4, "batch_size": 16}
    rates = (0.01, 1e30, 0.02)
    configs = resolve([tiny(tiny_npz, train=raw | {"learning_rate": rate}) for rate in rates])
    whole = dataclasses.replace(job(tmp_path, configs[0]), configs=tuple(configs))
    perform(dataclasses.replace(whole, configs=tuple(configs[:2])), lambda steps: None)
    statuses = results.recorded(whole.out)
    assert [statuses[c.id] for c in configs[:2]] == ["done", "diverged"]
    return whole


def test_what_is_done_or_diverged_is_never_turned_into_failed(settled):
    before = contents(settled.out)
    record_failure(settled, "on purpose")
    after = contents(settled.out)
    assert len(after) == 3
    assert {name: after[name] for name in before} == before
    assert results.status(settled.out, settled.configs[2].id) == "failed"


def test_what_is_recorded_is_not_trained_again(settled):
    steps = []
    perform(settled, steps.append)
    assert sum(steps) == settled.configs[2].train.num_steps
    assert results.status(settled.out, settled.configs[2].id) == "done"
    perform(settled, steps.append)
    assert sum(steps) == settled.configs[2].train.num_steps


def test_after_a_death_each_run_that_is_not_settled_is_tried_alone(settled):
    (again,) = after_death(Attempt(settled), "killed by SIGKILL")
    assert again.job.configs == settled.configs[2:]
    assert again.apart
    (last,) = after_death(again, "killed by SIGKILL")
    assert not after_death(last, "killed by SIGKILL")
    (failed,) = (r for r in results.records(settled.out) if r.status == "failed")
    assert failed.run == settled.configs[2].id
    assert failed.reason == "its worker died 2 times with this run alone (killed by SIGKILL)"


def test_a_late_duplicate_leaves_every_file_as_it_is(settled, monkeypatch):
    """A worker that was thought dead, and was not, ends its job after another has recorded it."""
    stamps = {}

    def overtaken(*arguments):
        monkeypatch.setattr(stack, "train", train)
        perform(settled, lambda steps: None)
        stamps.update(times(settled.out))
        return train(*arguments)

    monkeypatch.setattr(stack, "train", overtaken)
    perform(settled, lambda steps: None)
    assert len(results.recorded(settled.out)) == 3
    assert times(settled.out) == stamps


def times(out):
    return {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
