"""A stack that raises: which smaller ones are tried, and what is not done twice."""

from dataclasses import replace

import pytest
import torch

import vaebench.running.perform as stack
from tests.support.runs import tiny
from vaebench.config.build import load_data
from vaebench.config.resolve import resolve
from vaebench.running.events import Compiled, Recorded
from vaebench.running.job import Job
from vaebench.running.perform import perform
from vaebench.training.stepping import compiled
from vaebench.training.stepping.ways import WAYS, Stepping, never


@pytest.fixture
def job(tiny_npz):
    return Job(tuple(resolve([tiny(tiny_npz, seed=seed) for seed in range(4)])), "s")


def tried(monkeypatch, job, largest, error):
    """The stacks that are tried where one of more than `largest` runs raises, and the records."""
    sizes, training = [], stack.training

    def fragile(configs, *rest, **more):
        sizes.append(len(configs))
        if len(configs) > largest:
            raise error
        return training(configs, *rest, **more)

    monkeypatch.setattr(stack, "training", fragile)
    return sizes, [event.record for event in perform(job) if isinstance(event, Recorded)]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
    ],
)
def test_where_memory_runs_out_each_half_is_tried(monkeypatch, job, error):
    sizes, records = tried(monkeypatch, job, 2, error)
    assert sizes == [4, 2, 2]
    assert [record.status for record in records] == ["done"] * 4


def test_where_anything_else_goes_wrong_each_run_is_tried_alone(monkeypatch, job):
    sizes, records = tried(monkeypatch, job, 1, RuntimeError("on purpose"))
    assert sizes == [4, 1, 1, 1, 1]
    assert [record.status for record in records] == ["done"] * 4


def test_where_memory_never_suffices_every_run_fails_with_the_reason(monkeypatch, job):
    sizes, records = tried(monkeypatch, job, 0, MemoryError("all of it is taken"))
    assert sizes == [4, 2, 1, 1, 2, 1, 1]
    assert [record.status for record in records] == ["failed"] * 4
    assert all("all of it is taken" in record.reason for record in records)


def test_what_is_recorded_before_a_stack_raises_is_not_done_again(monkeypatch, job):
    """The runs of odd seeds diverge, and then the grading of the others raises, once."""
    in_full = stack.graded_in_full

    def fragile(*arguments):
        monkeypatch.setattr(stack, "graded_in_full", in_full)
        raise RuntimeError("on purpose")
        yield

    monkeypatch.setattr(stack, "graded_in_full", fragile)
    raw = {"num_steps": 12, "batch_size": 16}
    configs = resolve(
        [
            tiny(
                job.configs[0].data.name, seed=s, train=raw | {"learning_rate": (0.01, 1e30)[s % 2]}
            )
            for s in range(4)
        ]
    )
    records = [e.record for e in perform(Job(tuple(configs), "s")) if isinstance(e, Recorded)]
    statuses = {record.run: record.status for record in records}
    assert len(records) == 4
    assert [statuses[c.id] for c in configs] == ["done", "diverged", "done", "diverged"]


@pytest.mark.parametrize("stops", [None, RuntimeError("no compiler"), AssertionError()])
def test_a_graph_is_compiled_and_what_stops_it_is_the_runs_to_say(monkeypatch, job, stops):
    loaded = []

    def compile_graph(config, dataset):
        loaded.append((config, dataset.fingerprint))
        if stops:
            raise stops

    monkeypatch.setattr(compiled, "compile_graph", compile_graph)
    config = job.configs[0]
    assert list(perform(Job((), "s", graph_of=config))) == [Compiled("")]
    assert loaded == [(config, load_data(config.data).fingerprint)]


def test_steps_are_taken_by_the_way_that_now_has_the_name(monkeypatch, job):
    """And a way is made once for all jobs of a worker: it compiles."""
    letters = []
    short = replace(job, configs=job.configs[:1], stepping=Stepping("compiled"))
    for letter in "ab":

        def way(letter=letter):
            letters.append(letter)
            return never()

        monkeypatch.setitem(WAYS._entries, "compiled", way)
        for _ in range(2):
            list(perform(short))
    assert letters == ["a", "b"]
