"""Workers that are forked ahead train as others do, and none outlives its command."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections import deque

import pytest
import torch

from tests.support.kills import is_gone, wait_until
from tests.support.runs import tiny
from vaebench.config.resolve import resolve
from vaebench.running.cluster import Cluster
from vaebench.running.events import Recorded
from vaebench.running.executors import EXECUTORS, forked, local
from vaebench.running.job import Job

COMMAND = """
import sys
from vaebench.cli import main
from vaebench.core import tether
tie = tether.tie
tether.tie = lambda *of: (print("forked", flush=True), tie(*of))
main(sys.argv[1:])
"""
STUDY = """
name = "two"
[base]
likelihood = "bernoulli"
objective = "elbo"
model = {{ latent_dim = 2, widths = [8] }}
train = {{ num_steps = 4, batch_size = 16 }}
evaluate = {{ num_samples = 3, num_images = 20, gradings = ["likelihood"] }}
data = {{ name = "{data}", binarisation = "static" }}
[axes]
seed = [0, 1]
"""


@pytest.fixture
def alone(monkeypatch):
    """A process without other threads, as a command is; tests may have some, which do no harm."""
    monkeypatch.setattr(threading, "active_count", lambda: 1)


def performed(executor, jobs):
    """What is recorded of each run."""
    events = EXECUTORS[executor].perform(deque(jobs), 1, Cluster())
    return {e.record.run: e.record for e in events if isinstance(e, Recorded)}


def test_a_worker_that_is_ready_trains_as_any_other_and_takes_the_next_job(
    tiny_npz, monkeypatch, alone
):
    jobs = [Job((config,), "s") for config in resolve([tiny(tiny_npz, seed=s) for s in (0, 1)])]
    monkeypatch.setattr(local, "_opened", lambda *job: pytest.fail("a process was started"))
    with forked.forked(1):
        there = performed("local", jobs)
    here = performed("inline", jobs)
    assert len(here) == 2
    assert {run: r.weights for run, r in there.items()} == {
        run: r.weights for run, r in here.items()
    }
    assert all(record.status == "done" for record in there.values())


def test_workers_that_nobody_takes_end_with_the_context(alone):
    with forked.forked(2):
        pids = [worker.pid for worker in forked._ready]
        assert not any(map(is_gone, pids))
    assert len(pids) == 2
    assert all(map(is_gone, pids))
    assert forked.take() is None


def test_workers_of_a_command_that_is_killed_end(tmp_path, alone):
    """Both a worker that has been taken and those that wait."""
    said = tmp_path / "pids"

    def command():
        with forked.forked(3):
            taken = forked.take()
            said.write_text(" ".join(str(w.pid) for w in [taken, *forked._ready]))
            os.kill(os.getpid(), signal.SIGKILL)

    process = multiprocessing.get_context("fork").Process(target=command)
    process.start()
    process.join()
    pids = [int(pid) for pid in said.read_text().split()]
    assert len(pids) == 3
    wait_until("the workers are gone", lambda: all(map(is_gone, pids)))


@pytest.mark.parametrize("what", ["a thread", "another system", "a GPU"])
def test_nothing_is_forked_where_it_is_not_safe(what, monkeypatch):
    monkeypatch.setattr(threading, "active_count", lambda: 2 if what == "a thread" else 1)
    monkeypatch.setattr(sys, "platform", "darwin" if what == "another system" else "linux")
    if what == "a GPU":
        monkeypatch.setattr(forked, "default_device", lambda: torch.device("cuda"))
    monkeypatch.setattr(forked, "Forked", lambda others: pytest.fail("a process was forked"))
    with forked.forked(1):
        assert forked.take() is None


def test_a_command_that_leaves_a_worker_to_itself_ends_and_the_worker_too(tmp_path, alone):
    """A signal can come between the taking of a worker and its first job: its connection may still
    be held then, and so open."""
    said, held = tmp_path / "pid", []

    def command():
        with forked.forked(1):
            held.append(forked.take())
            said.write_text(str(held[0].pid))

    process = multiprocessing.get_context("fork").Process(target=command)
    process.start()
    process.join(15)
    has_ended = process.exitcode == 0
    process.kill()
    assert has_ended
    wait_until("the worker is gone", lambda: is_gone(int(said.read_text())))


def test_a_worker_may_have_processes_of_its_own(monkeypatch, alone):
    monkeypatch.setattr(
        forked, "serve", lambda _: sys.exit(multiprocessing.current_process().daemon)
    )
    with forked.forked(1):
        assert forked._ready[0].wait(30) == 0


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_what_stops_the_forking_leaves_no_worker_behind(error, monkeypatch, alone):
    """A command that ends waits for its children, and they for a job that never comes."""
    fork, workers = forked.Forked, []

    def one_alone(others):
        if workers:
            raise error
        workers.append(fork(others))
        return workers[0]

    monkeypatch.setattr(forked, "Forked", one_alone)
    with contextlib.suppress(KeyboardInterrupt), forked.forked(3):
        assert forked._ready == workers
    assert is_gone(workers[0].pid)
    assert forked.take() is None


@pytest.mark.slow
def test_a_command_forks_its_workers_only_where_there_is_work(tmp_path, tiny_npz):
    """No more than there are runs to train."""
    study = tmp_path / "two.toml"
    study.write_text(STUDY.format(data=tiny_npz))
    options = ["--out", str(tmp_path / "out"), "--workers", "3", "--no-timings"]

    def num_forked(*more):
        command = [sys.executable, "-c", COMMAND, "run", str(study), *options, *more]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        return done.stdout.count("forked")

    assert num_forked() == 2
    assert num_forked() == 0
