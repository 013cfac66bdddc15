"""Makes faults happen: Python imports this first in every process that has it on its path.

FAULTS_LOG=FILE: it gets a line for each stack that is trained, and at a command's end one with the
number of its steps of writing. FAULTS_AT=N: at its Nth such step a command kills itself; or, with
FAULTS_FILL=FILE, that file takes all the room there is from then on. FAULTS_CLOCK=SEED: the time of
day is another one at every look.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import itertools
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

YEARS_S = 20 * 365 * 86400.0
"""The time of day is off by as much as this."""


def say(**words: Any) -> None:
    """Add a line to the log, in one write."""
    line = json.dumps(words) + "\n"
    descriptor = os.open(os.environ["FAULTS_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, line.encode())
    os.close(descriptor)


def once_imported(name: str, change: Callable[[Any], None]) -> None:
    """Change a module of that name as soon as it has been imported."""

    class Finder:
        @staticmethod
        def find_spec(wanted: str, path: Any = None, target: Any = None) -> Any:
            if wanted != name:
                return None
            sys.meta_path.remove(Finder)
            spec: Any = importlib.util.find_spec(name)
            execute = spec.loader.exec_module

            def then(module: ModuleType) -> None:
                execute(module)
                change(module)

            spec.loader.exec_module = then
            return spec

    sys.meta_path.insert(0, Finder)


def log_training(loop: Any) -> None:
    """Say what is trained as it begins."""
    training = loop.training

    def said(configs: Any, *rest: Any, until: int | None = None, **more: Any) -> Any:
        say(runs=[config.id for config in configs], until=until)
        return training(configs, *rest, until=until, **more)

    loop.training = said


def fill(path: str) -> None:
    """Leave no room on the disk of a file."""
    with contextlib.suppress(OSError), open(path, "ab", buffering=0) as file:
        for size in (1 << 16, 1 << 12):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)) == size:
                    pass


def act(path: str) -> None:
    """Let the fault of a step happen."""
    if path:
        fill(path)
    else:
        os.kill(os.getpid(), signal.SIGKILL)


def count_writing(at: int) -> None:
    """Count the steps in which files are written: from one of them on the fault happens."""
    steps = itertools.count(1)
    taken = [0]

    def step() -> None:
        taken[0] = next(steps)
        if 0 < at <= taken[0]:
            act(os.environ.get("FAULTS_FILL", ""))

    def around(function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **more: Any) -> Any:
            step()
            returned = function(*arguments, **more)
            step()
            return returned

        return counted

    for name in ("fsync", "replace", "unlink"):
        setattr(os, name, around(getattr(os, name)))
    atexit.register(lambda: say(steps=taken[0]))


def turn_clock(seed: int) -> None:
    """Let the time of day jump by years at every look."""
    jumps, now, now_ns = random.Random(seed), time.time, time.time_ns
    time.time = lambda: now() + jumps.uniform(-YEARS_S, YEARS_S)
    time.time_ns = lambda: now_ns() + int(1e9 * jumps.uniform(-YEARS_S, YEARS_S))


if "FAULTS_LOG" in os.environ:
    once_imported("vaebench.training.loop", log_training)
    if "-m" in sys.orig_argv:  # workers write nothing
        count_writing(int(os.environ.get("FAULTS_AT", "0")))
if "FAULTS_CLOCK" in os.environ:
    turn_clock(int(os.environ["FAULTS_CLOCK"]))
