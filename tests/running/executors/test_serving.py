"""A worker's side, as far as it says something itself."""

import os
from collections import deque
from multiprocessing import Pipe

from vaebench.ops import c
from vaebench.running.cluster import NO_CLUSTER
from vaebench.running.executors.local import run_local
from vaebench.running.executors.serving import serve


def test_that_there_is_no_native_code_is_said_by_the_coordinator_alone(monkeypatch, caplog):
    monkeypatch.setenv("VAEBENCH_NATIVE", "0")
    monkeypatch.setattr(c, "_loaded", c._loaded.__wrapped__)  # as in a process of its own
    ours, theirs = Pipe()
    ours.send(None)
    before = c.LOG.level
    try:
        serve(os.dup(theirs.fileno()))
        assert c.library() is None
        assert not caplog.records
    finally:
        c.LOG.setLevel(before)
    assert not list(run_local(deque(), 1, NO_CLUSTER))
    (record,) = caplog.records
    assert "no native code" in record.getMessage()
