"""A Ray cluster in another process."""

import os
import subprocess
import sys
from contextlib import ExitStack, contextmanager

from tests.support.kills import DEADLINE_S, background

ENVIRONMENT = {**os.environ, "RAY_AUTH_MODE": "disabled"}
CHANCES = 3
"""Ray gives up where a node takes longer than 30 s to start, as on a busy machine."""


@contextmanager
def started(code, *arguments, log):
    """The process of a program that starts a cluster, and the words of the line that it says then.

    It ends when its input does. What it says beside goes to the file `log`.
    """
    alone = {name: value for name, value in ENVIRONMENT.items() if name != "RAY_ADDRESS"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    with ExitStack() as stack:
        says = stack.enter_context(log.open("w"))
        for _ in range(CHANCES):
            process = stack.enter_context(background(command, **pipes, stderr=says, env=alone))
            if words := process.stdout.readline().split():
                break
        assert words, log.read_text()
        yield process, words
        process.communicate(timeout=DEADLINE_S)
