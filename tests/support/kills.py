"""Kills the processes of a study, each at a stated moment, and says what is left of it.

Moments are files that appear, never a length of time. `HELD` is a plugin whose objective waits at
one of its values, once it has said where it is, until it is killed; a stack of it raises.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import vaebench

DEADLINE_S = 300
HELD = '''
import os
import time
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


def start(study, out, held_at, *options):
    """`vaebench run` in a process group of its own, whose errors come through a pipe."""
    command = [sys.executable, "-m", "vaebench", "run", str(study), "--out", str(out)]
    path = os.pathsep.join([str(Path(vaebench.__file__).parents[1]), *filter(None, sys.path)])
    return subprocess.Popen(
        [*command, "--no-timings", *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "HOLD_AT": str(held_at), "PYTHONPATH": path},
    )


def wait_until(condition, process=None):
    """The first true value of the condition. Fails where the process ends before."""
    deadline = time.monotonic() + DEADLINE_S
    while not (value := condition()):
        assert time.monotonic() < deadline
        assert process is None or process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    return value


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
    wait_until(lambda: all(map(is_gone, workers)))
    return process.returncode, errors
