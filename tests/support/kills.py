"""Kills the processes of a study, each at a stated moment, and says what is left of it.

Moments are files that appear, never a length of time. `HELD` is a plugin whose objective waits at
one of its values, once it has said where it is, until it is killed; a stack of it raises.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

import vaebench

DEADLINE_S = 300
HELD = '''
import os
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import torch

import vaebench as vb


@vb.objective(source="this test", bound="none")
def held(t: vb.Terms, *, gamma: Annotated[vb.Scalar, vb.Hyper((0.5, 4.0), low=0.0)] = 1.0):
    """The ELBO with a weight on its rate; alone at the weight 2 it waits once, to be killed."""
    weights = torch.as_tensor(gamma).reshape(-1).tolist()
    if len(weights) > 1:
        raise RuntimeError("each alone, please")
    if "HOLD_AT" in os.environ and weights == [2.0] and not Path(os.environ["HOLD_AT"]).exists():
        Path(os.environ["HOLD_AT"]).write_text(str(os.getpid()))
        time.sleep(600)
    return t.distortion + gamma * t.rate
'''


@contextmanager
def background(command, **options):
    """A process in a group of its own. At the end of the block, also where the test fails there,
    the group is killed and the pipes are closed."""
    with subprocess.Popen(command, text=True, start_new_session=True, **options) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def start(study, out, held_at, *options):
    """`vaebench run` in the background, whose errors come through a pipe."""
    command = [sys.executable, "-m", "vaebench", "run", str(study), "--out", str(out)]
    path = os.pathsep.join([str(Path(vaebench.__file__).parents[1]), *filter(None, sys.path)])
    return background(
        [*command, "--no-timings", *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "HOLD_AT": str(held_at), "PYTHONPATH": path},
    )


def wait_until(what, condition, process=None, state=lambda: "nothing more is known"):
    """The first true value of the condition. Fails after the deadline, and where the process ends
    before: with what was waited for, and the state in which it was left."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        has_ended = process is not None and process.poll() is not None
        if value := condition():
            return value
        if has_ended:
            errors = process.stderr.read() if process.stderr else ""
            pytest.fail(f"it ended with {process.returncode} before {what}; {state()}\n{errors}")
        if time.monotonic() > deadline:
            pytest.fail(f"not in {DEADLINE_S} s: {what}; {state()}")
        time.sleep(0.01)


def number_in(path):
    """The process id that a file holds, once it is written."""
    return int(path.read_text() or 0) if path.exists() else 0


def is_gone(pid):
    """A process that nobody has waited for yet is gone too."""
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def children(pid):
    path = Path(f"/proc/{pid}/task/{pid}/children")
    if not path.exists():
        pytest.skip("needs /proc to find the workers")
    return [int(child) for child in path.read_text().split()]


def contents(out):
    return {path.name: path.read_bytes() for path in sorted((out / "runs").glob("*.json"))}


def unfinished(out):
    """The temporary files of a results folder."""
    return [path for path in out.rglob("*") if path.suffix == ".tmp"]


def stop(process, number=signal.SIGKILL):
    """Send a signal; status and errors of the process, which ends with its workers."""
    workers = children(process.pid)
    os.kill(process.pid, number)
    _, errors = process.communicate(timeout=DEADLINE_S)
    wait_until("its workers are gone", lambda: all(map(is_gone, workers)), state=lambda: workers)
    return process.returncode, errors
