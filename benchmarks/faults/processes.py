"""Starts vaebench in processes that can be found again, and kills them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import vaebench

INJECTED = Path(__file__).parent / "injected"
MARK = "FAULTS_MARK"
"""The variable by which a process is known to be ours, as all inherit it."""
WORKER = b"vaebench.core.tether"
"""What the command line of a worker holds that was started anew."""
GONE_S = 20.0
"""Seconds in which a worker must have seen that its coordinator is gone."""
DEADLINE_S = 600.0
"""Seconds after which a command counts as stuck."""


def start(
    place: Path, arguments: Sequence[str], before: Sequence[str] = (), **faults: object
) -> subprocess.Popen[bytes]:
    """Start a command of vaebench in a folder, which also takes what it says and its temporary
    files. `faults`: variables for `injected/sitecustomize.py`; `before`: a command that starts it.
    """
    temporary = place / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    path = [str(INJECTED), str(Path(vaebench.__file__).parents[1]), os.environ.get("PYTHONPATH")]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, path)),
        "OMP_NUM_THREADS": "1",
        "TMPDIR": str(temporary),
        MARK: str(place),
        "FAULTS_LOG": str(place / "log"),
        **{f"FAULTS_{name.upper()}": str(value) for name, value in faults.items()},
    }
    with (place / "said").open("ab") as said:
        return subprocess.Popen(
            [*before, sys.executable, "-m", "vaebench", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            cwd=place,
            env=environment,
            start_new_session=True,
        )


def finish(process: subprocess.Popen[bytes]) -> int:
    """Wait for the end of a command; its status, as of one killed where it was stuck."""
    try:
        return process.wait(DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def kill_coordinator(process: subprocess.Popen[bytes], after_s: float) -> bool:
    """Kill a command after a time; whether it was there to be killed."""
    try:
        process.wait(after_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True
    return False


def kill_worker(process: subprocess.Popen[bytes], after_s: float, chance: random.Random) -> bool:
    """Kill one of the workers of a command, a time after the first has come; whether one was."""
    while not workers(process.pid) and process.poll() is None:
        time.sleep(0.02)
    time.sleep(after_s)
    if there := workers(process.pid):
        os.kill(chance.choice(there), signal.SIGKILL)
    return bool(there)


def workers(coordinator: int) -> list[int]:
    """The worker processes of a coordinator: those that it has forked off itself, whose command
    line is its own, and those that were started anew."""
    try:
        children = Path(f"/proc/{coordinator}/task/{coordinator}/children").read_text().split()
    except OSError:
        return []
    lines = {int(pid): _read(f"/proc/{pid}/cmdline") for pid in children}
    command = _read(f"/proc/{coordinator}/cmdline")
    return [pid for pid, line in lines.items() if line and (line == command or WORKER in line)]


def left(place: Path) -> list[int]:
    """The processes of a folder that are still there, once they have had time to go."""
    deadline = time.monotonic() + GONE_S
    while (there := _of(place)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return there


def end(pids: Sequence[int]) -> None:
    """Kill what was left, so that it does not disturb what follows."""
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def _of(place: Path) -> list[int]:
    mark = f"{MARK}={place}".encode()
    pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
    return [pid for pid in pids if mark in _read(f"/proc/{pid}/environ").split(b"\0")]


def _read(path: str) -> bytes:
    """A file of a process; nothing where it is gone, waits to be reaped, or is another user's."""
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""
