"""A second process makes calls, and stands in nobody's way when it cannot."""

import os
import signal
import subprocess
import time
import warnings

import pytest

from vaebench.core.beside import Beside, worthwhile
from vaebench.core.errors import InputError, InputWarning


def product(a, b):
    warnings.warn("said there", InputWarning, stacklevel=1)
    print("no part of the answer")
    return a * b, os.getpid()


def refuse(words):
    raise InputError(words)


def die(first):
    """Be killed, but in the first process."""
    if os.getpid() != first:
        os.kill(os.getpid(), signal.SIGKILL)
    return "made here"


@pytest.fixture(scope="module")
def second():
    with Beside() as second:
        yield second


def test_results_warnings_and_errors_come_back_in_order(second):
    first, other = second.begin(product, 2, 3), second.begin(refuse, "no such name")
    with pytest.warns(InputWarning, match="said there"):
        result, process = first()
    assert result == 6 and process != os.getpid()
    with pytest.raises(InputError, match="no such name"):
        other()


def test_what_is_not_worthwhile_is_made_here():
    with Beside() as unused:
        assert unused.begin_if(False, die, os.getpid())() == "made here"
    assert unused.process is None
    assert not worthwhile(100)


def test_a_process_that_is_killed_costs_no_result():
    with Beside() as second:
        results = [second.begin(die, os.getpid()) for _ in range(2)]
        assert [result() for result in results] == 2 * ["made here"]
    assert second.process.poll() == -signal.SIGKILL


def test_leaving_at_once_ends_what_was_started():
    with Beside() as second:
        second.begin(time.sleep, 600)
        started = second.process
    assert started.poll() == -signal.SIGKILL


def test_where_no_process_can_be_started_calls_are_made_here(monkeypatch):
    def refuse_to_start(*arguments, **options):
        raise BlockingIOError

    monkeypatch.setattr(subprocess, "Popen", refuse_to_start)
    with Beside() as second:
        results = [second.begin(os.getpid) for _ in range(2)]
        assert [result() for result in results] == 2 * [os.getpid()]
