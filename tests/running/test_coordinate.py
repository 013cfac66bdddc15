"""What is recorded as jobs come and go, and what follows when a worker is lost with one."""

import msgspec
import pytest

from tests.support.kills import contents
from tests.support.runs import tiny
from vaebench import results
from vaebench.config.resolve import resolve
from vaebench.running.coordinate import MAX_DEATHS, MAX_MACHINES, Account, carry_out
from vaebench.running.events import Begun, Compiled, FileOf, Lost, Recorded, Steps
from vaebench.running.job import Job
from vaebench.running.meter import Meter
from vaebench.running.perform import perform
from vaebench.running.recording import failures
from vaebench.training.stepping.ways import Stepping


@pytest.fixture
def job(tiny_npz):
    return Job(tuple(resolve([tiny(tiny_npz, seed=seed) for seed in range(5)])), "s")


@pytest.fixture
def out(tmp_path):
    results.prepare(tmp_path / "out")
    return tmp_path / "out"


def account(out, ended=()):
    return Account(out, dict(ended))


def done(job):
    """Its runs as done, without the work."""
    for event in failures(job, ""):
        yield Recorded(msgspec.structs.replace(event.record, status="done"))


def test_after_each_death_the_runs_are_tried_in_halves_then_alone_and_then_fail(job, out):
    """Whatever the stack of seed 3 is, its worker dies; the others are done."""
    culprit, tried = job.configs[3].id, []

    def perform(waiting):
        while waiting:
            job = waiting.popleft()
            tried.append([config.seed for config in job.configs])
            yield Begun(job)
            if culprit in {config.id for config in job.configs}:
                yield Lost(job, "killed by SIGKILL")
            else:
                yield from done(job)

    kept = account(out)
    carry_out([job], perform, kept)
    assert tried == [[0, 1, 2, 3, 4], [0, 1], [2, 3, 4], [2], [3], [4]]
    assert [kept.ended[config.id] for config in job.configs] == ["done"] * 3 + ["failed", "done"]
    (failed,) = (r for r in results.records(out) if r.status == "failed")
    assert failed.run == culprit
    assert failed.reason == (
        f"its worker died {MAX_DEATHS} times, the last time with this run alone (killed by SIGKILL)"
    )


def test_a_run_alone_is_tried_as_often(job, out):
    tried = []

    def perform(waiting):
        while waiting:
            tried.append(waiting.popleft())
            yield Lost(tried[-1], "killed")

    alone = Job(job.configs[:1], "s")
    carry_out([alone], perform, account(out))
    assert len(tried) == MAX_DEATHS
    assert [attempt.deaths for attempt in tried] == [0, 1, 2]


def test_the_loss_of_a_machine_costs_nothing_for_some_time(job, out):
    """The stack stays whole; one that takes machines with it again and again ends."""
    tried = []

    def perform(waiting):
        while waiting:
            tried.append(waiting.popleft())
            yield Lost(tried[-1], "its node is gone", with_machine=True)

    alone = Job(job.configs[:1], "s")
    kept = account(out)
    (again,) = kept.take(Lost(job, "its node is gone", with_machine=True))
    assert (again.configs, again.deaths) == (job.configs, 0)
    carry_out([alone], perform, kept)
    assert [attempt.deaths for attempt in tried] == [0] * (MAX_MACHINES + 1) + [1, 2]
    assert kept.ended == {alone.configs[0].id: "failed"}


def test_what_was_recorded_before_the_death_is_not_done_again(job, out):
    kept = account(out)
    for event in done(Job(job.configs[:2], "s")):
        assert kept.take(event) == []
    first, second = kept.take(Lost(job, "killed"))
    assert [c.seed for c in first.configs + second.configs] == [2, 3, 4]
    assert kept.take(Lost(Job(job.configs[:2], "s"), "killed after its last record")) == []


def test_a_graph_is_counted_and_a_worker_that_dies_of_one_costs_no_run(job, out):
    heard = []
    kept = Account(out, {}, Meter(on_standing=heard.append), num_graphs=2)
    graph = Job((), "s", graph_of=job.configs[0], stepping=Stepping("compiled", kind="k"))
    for event in (Begun(graph), Compiled("k")):
        assert kept.take(event) == []
    variant = job.configs[0].variant
    said = [f"compiling {variant}: 0 of 2 graphs ready", ""]
    assert [standing.compiling_words for standing in heard] == said
    assert (heard[-1].graphs_ready, heard[-1].words, kept.at_work()) == (1, "0 runs done", "")
    kept.take(Begun(graph))
    assert kept.take(Lost(graph, "killed by SIGKILL")) == []
    assert (kept.ended, kept.standing.compiling) == ({}, ())


def test_where_the_runs_stand_is_said_at_each_change(job, out):
    """One of five runs is settled; two end, and the worker of the last two dies."""
    heard, kept = [], Account(out, {job.configs[0].id: "diverged"}, num_runs=5)
    kept.meter = Meter(on_standing=lambda standing: heard.append(standing.words))
    first, second = Job(job.configs[1:3], "s"), Job(job.configs[3:], "s")
    for event in (Begun(first), Begun(second), *done(first), Lost(second, "killed")):
        kept.take(event)
    assert heard == [
        "0 of 5 runs done, 1 diverged; 2 at work",
        "0 of 5 runs done, 1 diverged; 4 at work",
        "2 of 5 runs done, 1 diverged; 2 at work",
        "2 of 5 runs done, 1 diverged",
    ]


def test_what_is_settled_is_never_replaced(job, out):
    """A second end of one run, as by a worker that was taken for dead, and was not."""
    alone = Job(job.configs[:1], "s")
    kept = account(out)
    for event in perform(alone):
        kept.take(event)
    before = contents(out)
    weights = results.file_of(out, "weights", alone.configs[0].id)
    stamp = weights.stat().st_mtime_ns
    for event in [*perform(alone), *failures(alone, "on purpose")]:
        kept.take(event)
    assert contents(out) == before
    assert weights.stat().st_mtime_ns == stamp
    assert kept.ended == {alone.configs[0].id: "done"}


def test_files_come_before_the_record_and_weights_before_the_grades(job):
    alone = Job(job.configs[:1], "s")
    events = [event for event in perform(alone) if not isinstance(event, Steps)]
    kinds = [event.part if isinstance(event, FileOf) else "record" for event in events]
    assert kinds == ["weights", "samples", "exhibits", "examples", "record"]


def test_steps_add_up_to_those_of_the_study(job):
    steps = sum(event.count for event in perform(job) if isinstance(event, Steps))
    assert steps == sum(config.train.num_steps for config in job.configs)


@pytest.mark.parametrize(
    ("num_left", "words"),
    [
        (0, ""),
        (1, "elbo seed 4 was at work, to be done again"),
        (5, "elbo seed 0, elbo seed 1, elbo seed 2 and 2 more were at work, to be done again"),
    ],
)
def test_what_was_at_work_is_named(job, out, num_left, words):
    kept = account(out)
    kept.take(Begun(job))
    for event in done(Job(job.configs[: len(job.configs) - num_left], "s")):
        kept.take(event)
    assert kept.at_work() == words


def test_an_interrupt_ends_the_executor_first(job, out):
    """Its workers are gone before anything is said."""
    ends = []

    def perform(waiting):
        try:
            yield Begun(waiting.popleft())
            raise AssertionError("it went on")
        finally:
            ends.append("executor")

    kept = account(out)
    kept.take = lambda event: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        carry_out([job], perform, kept)
    assert ends == ["executor"]
