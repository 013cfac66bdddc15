"""Runs in arrays of tasks, by submitit's executor for this machine; SLURM itself is not here."""

import shutil
import sys
from dataclasses import replace

import pytest
import torch

from tests.support.kills import contents
from tests.support.runs import tiny
from vaebench import results
from vaebench.config.resolve import resolve
from vaebench.core.errors import InputError
from vaebench.running.cluster import Cluster, Slurm, cluster
from vaebench.running.events import Begun, Lost, Recorded
from vaebench.running.executors import on_slurm
from vaebench.running.harness import train_all
from vaebench.running.job import Job, Needs
from vaebench.running.machine import Machine
from vaebench.running.plan import THREADED_FLOPS, StackPlan
from vaebench.running.recording import failures
from vaebench.running.work import StepWork
from vaebench.training.stepping.ways import Stepping

HERE = Slurm(via="local", minutes=5)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(on_slurm, "LOOK_S", 0.05)
    monkeypatch.setattr(on_slurm, "SETTLE_S", 0.5)


@pytest.fixture
def configs(tiny_npz):
    """Two stacks of two runs each."""
    return resolve([tiny(tiny_npz, seed=s, objective=o) for s in (0, 1) for o in ("elbo", "iwae")])


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore:subprocess .* is still running", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_an_array_gives_the_records_of_one_machine(configs, tmp_path):
    pytest.importorskip("submitit", reason="needs the extra slurm")
    out = tmp_path / "out"
    ended = train_all(configs, out, "s", executor="slurm", workers=2, cluster=Cluster(slurm=HERE))
    assert list(ended.values()) == ["done"] * 4
    assert len(list((out / "slurm").glob("*_submitted.pkl"))) == 2, "a task for each stack"
    train_all(configs, tmp_path / "inline", "s", executor="inline")
    assert contents(out) == contents(tmp_path / "inline")


# ------------------------------------------------------------------ without processes


class Submitted:
    """A task that `work` does as soon as it is looked at."""

    job_id, state = "7_0", "TIMEOUT"

    def __init__(self, work):
        self.work, self.cancelled = work, False

    def done(self):
        self.work()
        return True

    def cancel(self):
        self.cancelled = True


@pytest.fixture
def jobs(configs, tmp_path):
    results.prepare(tmp_path / "out")
    return [Job(tuple(configs[i::2]), "s") for i in (0, 1)]


def started(monkeypatch, jobs, out, works):
    """The events of jobs of which each task does what `works` says, and the tasks."""
    tasks = []

    def submitted(submitter, jobs, out, slurm):
        tasks.extend(on_slurm.Task(Submitted(lambda job=job: works(job)), [job]) for job in jobs)
        return tasks[-len(jobs) :]

    monkeypatch.setattr(on_slurm, "_submitter", lambda folder, slurm: None)
    monkeypatch.setattr(on_slurm, "_submitted", submitted)
    waiting = on_slurm.deque(jobs)
    return on_slurm.run_on_slurm(waiting, 1, Cluster(out=str(out))), tasks


def test_records_tell_what_is_done_and_the_rest_of_a_task_that_ended_is_lost(
    jobs, tmp_path, monkeypatch
):
    """The first task records all its runs, the second one of two; both say that all was well."""
    out, written = tmp_path / "out", []

    def works(job):
        for event in records_of(job):
            if event.record.run not in written and event.record.run != jobs[1].configs[1].id:
                written.append(event.record.run)
                results.write(out, event.record)

    events, tasks = started(monkeypatch, jobs, out, works)
    events = list(events)
    assert [event.job for event in events if isinstance(event, Begun)] == jobs
    seen = {event.record.run for event in events if isinstance(event, Recorded)}
    assert seen == {c.id for job in jobs for c in job.configs} - {jobs[1].configs[1].id}
    (lost,) = (event for event in events if isinstance(event, Lost))
    assert (lost.job, lost.how) == (jobs[1], "SLURM task 7_0 ended before, TIMEOUT")
    assert not lost.with_machine
    assert not any(task.submitted.cancelled for task in tasks)


def test_a_task_whose_machine_was_taken_away_is_lost_with_it(jobs, tmp_path, monkeypatch):
    monkeypatch.setattr(Submitted, "state", "PREEMPTED")
    events, _ = started(monkeypatch, jobs[:1], tmp_path / "out", lambda job: None)
    (lost,) = (event for event in events if isinstance(event, Lost))
    assert lost.with_machine


def records_of(job):
    return failures(job, "on purpose")


def test_a_record_of_an_earlier_attempt_is_not_taken_for_a_new_one(jobs, tmp_path, monkeypatch):
    out = tmp_path / "out"
    for event in records_of(jobs[0]):
        results.write(out, event.record)
    events, _ = started(monkeypatch, jobs[:1], out, lambda job: None)
    kinds = [type(event) for event in events]
    assert kinds == [Begun, Lost]


def test_tasks_are_cancelled_with_the_coordinator(jobs, tmp_path, monkeypatch):
    events, tasks = started(monkeypatch, jobs, tmp_path / "out", lambda job: None)
    next(events)
    events.close()
    assert all(task.submitted.cancelled for task in tasks)


def test_a_task_does_what_is_not_settled_in_stacks_for_its_machine(jobs, tmp_path, monkeypatch):
    out, performed = tmp_path / "out", []
    plans = []

    def planned(configs, machine, compiled):
        plans.append((len(configs), machine.num_workers))
        stacks = [[config] for config in configs]
        return StackPlan(stacks, num_workers=1)

    def run_local(waiting, num_workers, cluster):
        while waiting:
            job = waiting.popleft()
            performed.append([config.id for config in job.configs])
            yield from records_of(job)

    monkeypatch.setattr(on_slurm, "plan", planned)
    monkeypatch.setattr(on_slurm, "run_local", run_local)
    monkeypatch.setattr(on_slurm, "num_cores", lambda: 3)
    on_slurm.perform_there(jobs, out, cores=8)
    assert plans == [(4, 3)], "as many cores as there are"
    assert performed == [[c.id] for job in jobs for c in job.configs]
    assert len(contents(out)) == 4


@pytest.mark.parametrize(("way", "threads", "sizes"), [("eager", 2, [2]), ("compiled", 1, [1, 1])])
def test_a_task_knows_which_of_its_stacks_are_compiled(jobs, monkeypatch, way, threads, sizes):
    """Compiled steps take one thread, and what their graph keeps is no room for runs."""
    work = StepWork(THREADED_FLOPS, 0, elements=0, num_bytes=1 << 20, step_bytes=1 << 20)
    monkeypatch.setattr("vaebench.running.plan.step_work", lambda config: work)
    job = replace(jobs[0], stepping=Stepping(way, kind="a graph"))

    def stacks(job, num_workers):
        machine = Machine(torch.device("cpu"), num_workers, 2, 4 << 20)  # half of it is for runs
        return on_slurm._for_this_machine([job], machine)[0]

    assert [len(stack.configs) for stack in stacks(job, 1)] == sizes
    (alone,) = stacks(replace(job, configs=job.configs[:1]), 2)
    assert alone.needs == Needs(cores=threads, run_bytes=1 << 20)


def test_the_options_are_typed_and_a_wrong_one_is_refused_by_name():
    options = cluster("", ["partition=gpu", "minutes=120", "memory_gb=7.5", "gpus=1"]).slurm
    assert options == Slurm(partition="gpu", minutes=120, memory_gb=7.5, gpus=1)
    for text, message in {
        "minutes": r"--slurm needs KEY=VALUE, as in minutes=120; got 'minutes'",
        "minuts=3": "did you mean 'minutes'",
        "minutes=soon": "minutes must be a whole number; got 'soon'",
        "minutes=0": "minutes must be a whole number of at least 1; got 0",
        "via=pbs": "Invalid value 'pbs' - at 'via'; known: debug, local, slurm",
    }.items():
        with pytest.raises(InputError, match=message):
            cluster("", [text])


def test_without_submitit_or_sbatch_it_says_what_is_missing(tmp_path, monkeypatch):
    if shutil.which("sbatch") is None:
        pytest.importorskip("submitit", reason="needs the extra slurm")
        with pytest.raises(
            InputError, match=r"sbatch, which must be on this machine; .*login node"
        ):
            on_slurm._submitter(tmp_path, Slurm())
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(InputError, match=r"needs submitit: install the extra, .\[slurm\]"):
        on_slurm._submitter(tmp_path, Slurm())
