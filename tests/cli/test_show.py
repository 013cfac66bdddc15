"""Progress: a bar on a terminal; elsewhere plain lines, now and then."""

from contextlib import contextmanager

import pytest

from tests.support.runs import tiny
from vaebench.cli import show
from vaebench.config.study import resolve
from vaebench.running.harness import train_all
from vaebench.running.meter import Meter


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only where a test says so."""
    now = [1000.0]
    monkeypatch.setattr(show.time, "monotonic", lambda: now[0])

    def passes(seconds):
        now[0] += seconds

    return passes


def test_outside_a_terminal_a_line_for_stacks_that_ended_at_most_every_few_seconds(clock, capsys):
    with show.progress_bar("training 140 runs", 1000) as meter:
        for number in range(1, 8):
            clock(2.0)
            meter.on_runs(f"{number} of 140 runs done")
    assert capsys.readouterr().err == (
        "training 140 runs\n3 of 140 runs done, 6 s\n6 of 140 runs done, 12 s\n"
        "7 of 140 runs done, 14 s\n"
    )


def test_while_no_stack_ends_the_share_of_the_steps_is_said_now_and_then(clock, capsys):
    with show.progress_bar("training 2 runs", 1000) as meter:
        for _ in range(7):
            clock(10.0)
            meter.on_steps(100)
        meter.on_runs("2 of 2 runs done")
    assert capsys.readouterr().err.splitlines() == [
        "training 2 runs",
        "30% of the steps, 30 s",
        "60% of the steps, 60 s",
        "2 of 2 runs done, 70 s",
    ]


def test_work_without_runs_says_when_it_is_done(clock, capsys):
    with show.progress_bar("evaluating", 0) as meter:
        clock(31.0)
        meter.on_steps(5)
    assert capsys.readouterr().err == "evaluating\ndone, 31 s\n"


def test_what_is_interrupted_is_not_said_to_be_done(clock, capsys):
    with pytest.raises(KeyboardInterrupt), show.progress_bar("evaluating", 0):
        raise KeyboardInterrupt
    assert capsys.readouterr().err == "evaluating\n"


def test_a_terminal_has_a_bar_with_the_last_words(monkeypatch, capsys):
    monkeypatch.setattr(show.sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    with show.progress_bar("training 2 runs", 10) as meter:
        meter.on_runs("compiling 1 graph")
        meter.on_steps(10)
        meter.on_runs("2 of 2 runs done")
    printed = capsys.readouterr().err
    assert "100%" in printed
    assert "training 2 runs" in printed
    assert "2 of 2 runs done" in printed


def test_runs_are_counted_as_they_end_with_those_that_were_there(tmp_path, tiny_npz):
    heard = []

    @contextmanager
    def progress(what, total):
        yield Meter(lambda steps: None, heard.append)

    wild = {"num_steps": 4, "batch_size": 16, "learning_rate": 1e30}
    usual = {"num_steps": 4, "batch_size": 16}
    configs = resolve(
        [tiny(tiny_npz, train=usual), tiny(tiny_npz, train=wild), tiny(tiny_npz, objective="iwae")]
    )
    train_all(configs[:1], tmp_path, "s", executor="inline", progress=progress)
    train_all(configs, tmp_path, "s", executor="inline", progress=progress)
    assert heard[0] == "1 of 1 runs done"
    assert heard[-1] == "2 of 3 runs done, 1 diverged"
    assert len(heard) == 3
