"""The order of a study's jobs: graphs before the stacks that call them, the longest first."""

from dataclasses import replace

import pytest

from tests.support.runs import tiny
from vaebench.running import schedule as planned
from vaebench.running.job import Job
from vaebench.running.schedule import schedule
from vaebench.training.stepping import compiled
from vaebench.training.stepping.ways import Stepping


def stack(kind, num_runs, num_steps=10, way="compiled or eager"):
    train = {"num_steps": num_steps}
    configs = tuple(tiny(seed=seed, train=train, objective="elbo") for seed in range(num_runs))
    return Job(configs, "s", stepping=Stepping(way, "", kind))


def in_words(jobs):
    """ "graph a", or "a 3" for a stack of three runs."""
    return [
        f"graph {job.stepping.kind}" if job.graph_of else f"{job.stepping.kind} {len(job.configs)}"
        for job in jobs
    ]


@pytest.fixture(autouse=True)
def with_a_compiler(monkeypatch):
    monkeypatch.setattr(compiled, "problem", lambda: "")
    monkeypatch.setattr(planned, "graphs_on_disk", lambda kinds: set())


STACKS = [stack("a", 1), stack("b", 2), stack("c", 3), stack("a", 4), stack("d", 9, way="eager")]


@pytest.mark.parametrize(
    ("num_workers", "missing", "expected"),
    [
        pytest.param(1, "", ["d 9", "a 4", "c 3", "b 2", "a 1"], id="the longest first"),
        pytest.param(
            1,
            "abc",
            ["graph a", "graph c", "graph b", "d 9", "a 4", "c 3", "a 1", "b 2"],
            id="a has most work, and b's graph is made last",
        ),
        pytest.param(
            2,
            "abc",
            ["graph a", "graph c", "graph b", "d 9", "a 4", "a 1", "c 3", "b 2"],
            id="two workers: c and b may still be compiled when the first stack begins",
        ),
        pytest.param(
            2, "b", ["graph b", "d 9", "a 4", "c 3", "a 1", "b 2"], id="the others are on disk"
        ),
    ],
)
def test_order(monkeypatch, num_workers, missing, expected):
    monkeypatch.setattr(planned, "graphs_on_disk", lambda kinds: set(kinds) - set(missing))
    assert in_words(schedule(STACKS, num_workers)) == expected


def test_a_graph_job_has_no_runs_and_all_else_of_its_stack():
    graph, _ = schedule([STACKS[2]], 1)
    assert graph.configs == ()
    assert graph.graph_of == STACKS[2].configs[0]
    assert (graph.stepping, graph.needs, graph.study) == (STACKS[2].stepping, STACKS[2].needs, "s")


def test_steps_count_as_runs_do():
    eager = [stack("a", 2, 10, way="eager"), stack("b", 1, 21, way="eager")]
    assert in_words(schedule(eager, 1)) == ["b 1", "a 2"]


def test_no_graph_is_asked_for_where_none_can_be_compiled_and_on_a_gpu(monkeypatch):
    on_a_gpu = [replace(job, device="cuda") for job in STACKS]
    assert len(schedule(on_a_gpu, 1)) == len(STACKS)
    monkeypatch.setattr(compiled, "problem", lambda: "there is no compiler")
    assert len(schedule(STACKS, 1)) == len(STACKS)
