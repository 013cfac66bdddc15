"""Progress: a block that is drawn anew on a terminal; elsewhere plain lines, now and then."""

import io
from contextlib import contextmanager

import pytest
from rich.console import Console

from tests.support.runs import tiny
from vaebench.cli import progress
from vaebench.config.resolve import resolve
from vaebench.running.harness import train_all
from vaebench.running.meter import Meter
from vaebench.running.standing import Standing


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only where a test says so."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])

    def passes(seconds):
        now[0] += seconds

    return passes


def done(number, total=None, **more):
    return Standing({"done": number}, total, **more)


def test_outside_a_terminal_a_line_where_the_runs_stand_at_most_every_few_seconds(clock, capsys):
    with progress.progress_bar("training 140 runs", 0) as meter:
        for number in range(1, 8):
            clock(2.0)
            meter.on_standing(done(20 * number, 140))
    assert capsys.readouterr().err == (
        "training 140 runs\n60 of 140 runs done; 6 s, about 8 s left\n"
        "120 of 140 runs done; 12 s, about 2 s left\n140 of 140 runs done; 14 s\n"
    )


def test_a_long_study_says_less_often(clock, capsys):
    """A day of runs that end every ten seconds is 8,640 of them, and no more than 200 lines."""
    with progress.progress_bar("training", 0) as meter:
        for number in range(8640):
            clock(10.0)
            meter.on_standing(done(number))
    lines = capsys.readouterr().err.splitlines()
    assert 100 < len(lines) < 200


def test_while_no_run_ends_the_share_of_the_steps_is_said_now_and_then(clock, capsys):
    with progress.progress_bar("training 2 runs", 1000) as meter:
        for _ in range(7):
            clock(10.0)
            meter.on_steps(100)
        meter.on_standing(done(2, 2))
    assert capsys.readouterr().err.splitlines() == [
        "training 2 runs",
        "30% of the steps; 30 s, about 70 s left",
        "60% of the steps; 60 s, about 40 s left",
        "2 of 2 runs done; 70% of the steps; 70 s, about 30 s left",
    ]


def test_work_without_runs_says_when_it_is_done(clock, capsys):
    with progress.progress_bar("evaluating", 0) as meter:
        clock(31.0)
        meter.on_steps(5)
    assert capsys.readouterr().err == "evaluating\ndone; 31 s\n"


def test_what_is_interrupted_is_not_said_to_be_done(clock, capsys):
    with pytest.raises(KeyboardInterrupt), progress.progress_bar("evaluating", 0):
        raise KeyboardInterrupt
    assert capsys.readouterr().err == "evaluating\n"


def test_quiet_is_quiet(clock, capsys):
    with progress.progress_for(quiet=True)("training", 10) as meter:
        clock(100.0)
        meter.on_steps(5)
        meter.on_standing(done(1))
    assert capsys.readouterr() == ("", "")


EVERYTHING = Standing(
    {"done": 3, "failed": 1},
    40,
    at_work=8,
    compiling=("iwae(K=5)",),
    graphs_ready=1,
    num_graphs=2,
    best=("lowest test NLL so far: 73.2 nats, elbo (mean of 3 runs)",),
)


def test_the_block_of_a_terminal_has_all_that_is_known(clock):
    course = progress.Course(1000, 1000.0, num_done=250, standing=EVERYTHING)
    clock(60.0)
    written = io.StringIO()
    Console(file=written, width=120).print(progress._drawn(course))
    head, *lines = written.getvalue().splitlines()
    assert head.rstrip().endswith("25% 60 s, about 3 min left")
    assert [line.rstrip() for line in lines] == [
        "3 of 40 runs done, 1 failed; 8 at work",
        "compiling iwae(K=5): 1 of 2 graphs ready",
        "lowest test NLL so far: 73.2 nats, elbo (mean of 3 runs)",
    ]


def test_a_terminal_ends_with_the_last_block(monkeypatch, capsys):
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    with progress.progress_bar("training 2 runs", 10) as meter:
        meter.on_standing(EVERYTHING)
        meter.on_steps(10)
        meter.on_standing(done(2, 2))
    printed = capsys.readouterr().err
    assert printed.count("training 2 runs") == 1
    assert "100%" in printed and "2 of 2 runs done" in printed
    assert "compiling" not in printed


def test_runs_are_counted_as_they_end_with_those_that_were_there(tmp_path, tiny_npz):
    heard = []

    @contextmanager
    def listening(what, total):
        yield Meter(on_standing=lambda standing: heard.append(standing.words))

    wild = {"num_steps": 4, "batch_size": 16, "learning_rate": 1e30}
    usual = {"num_steps": 4, "batch_size": 16}
    configs = resolve(
        [tiny(tiny_npz, train=usual), tiny(tiny_npz, train=wild), tiny(tiny_npz, objective="iwae")]
    )
    train_all(configs[:1], tmp_path, "s", executor="inline", progress=listening)
    assert heard == ["0 of 1 runs done; 1 at work", "1 of 1 runs done"]
    train_all(configs, tmp_path, "s", executor="inline", progress=listening)
    assert heard[-1] == "2 of 3 runs done, 1 diverged"
    assert len(heard) == 2 + 2 * 2
