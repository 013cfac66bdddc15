"""Whatever is killed, no record is lost or turned, and nothing is left running or lying about."""

import dataclasses
import os
import signal
import subprocess
import sys
from collections import deque
from contextlib import contextmanager
from multiprocessing import Pipe

import click
import pytest
from click.testing import CliRunner

import vaebench as vb
from tests.support.kills import (
    DEADLINE_S,
    HELD,
    background,
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
from vaebench.config.resolve import resolve
from vaebench.core.errors import StorageError
from vaebench.core.sources import surroundings
from vaebench.objectives import OBJECTIVES
from vaebench.ops import c
from vaebench.running import environment
from vaebench.running.cluster import Cluster
from vaebench.running.coordinate import Account, carry_out
from vaebench.running.events import Begun
from vaebench.running.executors import EXECUTORS, Executor, local, serving
from vaebench.running.executors.entry import here
from vaebench.running.harness import train_all
from vaebench.running.job import Job, Needs
from vaebench.running.perform import perform

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

    @contextmanager
    def started(self):
        """The process, when its worker holds the third run and two are recorded; and the worker."""
        options = ("--workers", "1", "--plugin", self.plugin)
        with start(self.path, self.out, self.held_at, *options) as process:
            worker = wait_until("a run is held", lambda: number_in(self.held_at), process)
            wait_until("two are recorded", lambda: len(contents(self.out)) == 2, process)
            yield process, worker

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
    with study.started() as (process, worker):
        kept = contents(study.out)
        status, errors = stop(process, signal.SIGTERM)
        assert is_gone(worker)
    assert len(kept) == 2
    assert status == 143
    assert "Traceback" not in errors
    last = errors.splitlines()[-1]
    named = "held(gamma=2) seed 0 was at work, to be done again"
    kept_there = f"2 of 3 runs are recorded in {study.out}"
    assert f"stopped by SIGTERM; {named}; {kept_there}; to go on: " in last
    assert last.endswith(f"--no-timings --workers 1 --plugin {study.plugin}")
    assert contents(study.out) == kept
    assert not unfinished(study.out)
    assert_completes(study, kept)


def test_a_coordinator_that_is_killed_takes_its_workers_along(study):
    with study.started() as (process, worker):
        kept = contents(study.out)
        stop(process)
        assert is_gone(worker)
    assert contents(study.out) == kept
    assert_completes(study, kept)


@pytest.fixture
def handlers():
    """The signal handlers, put back after a command that was to be the last of its process."""
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
            os.kill(os.getpid(), signal.SIGTERM)  # impatience does not interrupt what cleans up

    group = Group("vaebench", commands=[click.Command("work", callback=work)])
    done = CliRunner().invoke(group, ["work"], prog_name="vaebench")
    assert done.exit_code == status
    assert done.stderr == (
        f"vaebench: stopped by {signal.Signals(number).name}; to go on: vaebench work\n"
    )
    os.kill(os.getpid(), signal.SIGHUP)  # nor what else there is to do before the process ends


SLOW_TO_CLEAN_UP = """
import os, signal, sys, time
import click
from vaebench.cli.group import Group

def work():
    try:
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        print("cleaning up", flush=True)
        time.sleep(600)

Group("vaebench", commands=[click.Command("work", callback=work)]).main(["work"])
"""


def test_a_second_ctrl_c_ends_at_once():
    with background([sys.executable, "-c", SLOW_TO_CLEAN_UP], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == "cleaning up\n"
        process.send_signal(signal.SIGTERM)  # is ignored by now
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=DEADLINE_S) == -signal.SIGINT


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
    """A hangup is ignored, as nohup has it."""
    work = click.Command("work", callback=lambda: os.kill(os.getpid(), signal.SIGHUP))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    done = CliRunner().invoke(Group("vaebench", commands=[work]), ["work"])
    assert done.exit_code == 0


def test_in_python_an_interrupt_stays_one_and_says_what_is_kept(tmp_path, tiny_npz, monkeypatch):
    configs = resolve([tiny(tiny_npz, seed=seed) for seed in (0, 1)])

    def interrupted(waiting, num_workers, cluster):
        yield Begun(waiting[0])
        yield from perform(dataclasses.replace(waiting[0], configs=tuple(configs[:1])))
        raise KeyboardInterrupt

    monkeypatch.setitem(
        EXECUTORS._entries, "interrupted", Executor("interrupted", interrupted, here)
    )
    with pytest.raises(KeyboardInterrupt) as caught:
        train_all(configs, tmp_path / "out", "s", executor="interrupted", workers=1)
    assert type(caught.value) is KeyboardInterrupt
    assert caught.value.__notes__ == [
        "elbo seed 1 was at work, to be done again",
        f"1 of 2 runs are recorded in {tmp_path / 'out'}",
    ]


# ------------------------------------------------------------------ workers


def test_a_busy_worker_that_is_killed_costs_no_run(study):
    with study.started() as (process, worker):
        kept = contents(study.out)
        os.kill(worker, signal.SIGKILL)
        _, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, errors
    assert "3 of 3 runs done" in errors
    assert_completes(study, kept)


def test_a_worker_whose_coordinator_is_gone_ends_without_a_word(monkeypatch):
    def ended(status):
        raise SystemExit(status)

    monkeypatch.setattr(serving.os, "_exit", ended)
    ours, theirs = Pipe()
    ours.close()
    with theirs, pytest.raises(SystemExit) as caught:
        serving.serve(os.dup(theirs.fileno()))
    assert caught.value.code == 1


FAULT = """
import os, pickle, time
from pathlib import Path
from vaebench.running.executors import EXECUTORS, serving

def comes(name):
    '''Whether this is the first worker that gets here.'''
    try:
        Path({place!r}, name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True

class Faulty(serving.Connection):
    def send_bytes(self, message):
        said = pickle.loads(message)
        if said == serving.BEGUN and comes("talks nonsense"):
            message = b"nonsense"
        if said == serving.ENDED and comes("dies as it says that all is recorded"):
            os.write(self.fileno(), bytes([0, 0, 0, 5]) + b"en")
            os._exit(1)
        super().send_bytes(message)
        if said == serving.ENDED and comes("dies idle"):
            os._exit(1)
        if said == serving.ENDED and comes("dies idle, and what it forked keeps the connection"):
            if os.fork():
                os._exit(1)
            while not Path({place!r}, "all is over").exists():
                time.sleep(0.1)
            os._exit(0)

serving.Connection = Faulty
if comes("cannot be imported"):
    raise ImportError("once")
"""
FAULTS = 5


def with_fault(monkeypatch, code):
    before, serving = local.WORKER.split("from vaebench.running.executors.serving import serve")
    monkeypatch.setattr(
        local,
        "WORKER",
        f"{before}{code}\nfrom vaebench.running.executors.serving import serve{serving}",
    )


def performed(out, configs, num_workers=1):
    """Have each run done as a job of its own on this machine; how each ended."""
    results.prepare(out)
    account = Account(out, {})
    jobs = [Job((config,), "s") for config in configs]
    carry_out(jobs, lambda waiting: local.run_local(waiting, num_workers, Cluster()), account)
    return account.ended


def test_workers_that_die_without_a_job_are_replaced_and_no_job_is_charged(
    tmp_path, tiny_npz, monkeypatch
):
    """Every way once, over four jobs of one worker; each run has one try only."""
    monkeypatch.setattr("vaebench.running.coordinate.MAX_DEATHS", 1)
    place = tmp_path / "faults"
    place.mkdir()
    with_fault(monkeypatch, FAULT.format(place=str(place)))
    configs = resolve([tiny(tiny_npz, seed=seed) for seed in range(4)])
    try:
        ended = performed(tmp_path / "out", configs)
    finally:
        (place / "all is over").touch()
    assert list(ended.values()) == ["done"] * 4
    assert len(list(place.iterdir())) == FAULTS + 1


def test_what_cannot_be_recorded_ends_the_study_in_one_line(tmp_path, tiny_npz, monkeypatch):
    """A full disk is no fault of the runs, and no worker is left."""
    pids = []
    started = local._started
    monkeypatch.setattr(
        local, "_started", lambda *a: [w := started(*a), pids.append(w.process.pid)][0]
    )

    def full(*arguments):
        raise StorageError("No space left on device")

    monkeypatch.setattr(results, "write", full)
    (config,) = resolve([tiny(tiny_npz)])
    with pytest.raises(StorageError, match="No space left on device"):
        performed(tmp_path / "out", [config])
    assert not results.recorded(tmp_path / "out")
    assert pids and all(map(is_gone, pids))


@pytest.mark.parametrize(
    ("executable", "reason"),
    [("/bin/false", "exit status 1"), ("/no/such/python", "No such file or directory")],
)
def test_where_no_worker_can_start_every_run_fails_with_the_reason(
    tmp_path, tiny_npz, monkeypatch, executable, reason
):
    monkeypatch.setattr(local.sys, "executable", executable)
    configs = resolve([tiny(tiny_npz, seed=seed) for seed in range(2)])
    assert list(performed(tmp_path / "out", configs, num_workers=2).values()) == ["failed"] * 2
    records = list(results.records(tmp_path / "out"))
    assert [record.status for record in records] == ["failed"] * 2
    for record in records:
        assert "no worker could begin it: 3 in a row ended first" in record.reason
        assert reason in record.reason


# ------------------------------------------------------------------ GPUs


class Quiet:
    """In the place of a worker process: it has begun, and is done, as soon as it is asked."""

    pid = 0

    def __init__(self, command, env, **more):
        self.gpu = env.get("CUDA_VISIBLE_DEVICES")
        Quiet.started.append(self.gpu)

    poll = kill = lambda self: None

    def wait(self, *seconds):
        return 0


@pytest.mark.parametrize(("listed", "names"), [(None, ["0", "1"]), ("5,7,9", ["5", "7"])])
def test_each_gpu_has_one_worker_which_sees_no_other(
    tmp_path, tiny_npz, monkeypatch, listed, names
):
    """Two GPUs, as far as torch says, and two of those that the user has listed."""
    Quiet.started = []
    c.library()  # or its compiler would be among the processes that are started
    monkeypatch.setattr(environment.torch.cuda, "device_count", lambda: 2)
    if listed is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    monkeypatch.setattr(local.subprocess, "Popen", Quiet)
    said = {}

    def message(worker):
        """Begun, then done."""
        said[id(worker)] = not said.get(id(worker), False)
        return local.BEGUN if said[id(worker)] else local.ENDED

    monkeypatch.setattr(local, "_message", message)
    monkeypatch.setattr(local, "_ready", lambda all_: [w for w in all_ if not w.is_idle])
    configs = resolve([tiny(tiny_npz, seed=seed) for seed in range(5)])
    jobs = deque(Job((c,), "s", device="cuda", needs=Needs(gpus=1)) for c in configs)
    begun = [event.job for event in local.run_local(jobs, 8, Cluster())]
    assert len(begun) == 5
    assert Quiet.started == names


def test_without_a_gpu_a_worker_sees_what_the_coordinator_sees(tmp_path, tiny_npz, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    Quiet.started = []
    monkeypatch.setattr(local.subprocess, "Popen", Quiet)
    local._started(Job(tuple(resolve([tiny(tiny_npz)])), "s"), None)
    assert Quiet.started == ["3"]
