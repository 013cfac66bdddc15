"""A second process of this program, which makes calls while the first goes on."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, TypeVar

Result = TypeVar("Result")

SECOND = """
import gc, sys
gc.disable()
descriptor, first = map(int, sys.argv[1:])
from vaebench.core.tether import tie
tie(descriptor, first)
from vaebench.core.beside import serve
serve(descriptor)
"""
"""The other process. Not by multiprocessing, which would import the user's script again. It lives
too short a time to look for garbage."""
MANY = 10_000


def worthwhile(num_records: int) -> bool:
    """Whether work on so many records is worth a second process, which takes half a second to start
    and wants a core of its own."""
    return num_records >= MANY and len(os.sched_getaffinity(0)) > 1


class Beside:
    """The second process, which is started for its first call and ended with this context."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.connection: Connection | None = None
        self.thread = ThreadPoolExecutor(1)

    def __enter__(self) -> Beside:
        return self

    def __exit__(self, *raised: object) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.thread.shutdown()
        if self.connection is not None:
            self.connection.close()

    def begin(self, function: Callable[..., Result], *arguments: Any) -> Callable[[], Result]:
        """Begin a call, once those before are done; what this gives waits for its result.

        Function, arguments and result are pickled. The call's warnings and exceptions are those of
        the call for the result. Where the other process is gone, as one that is killed when memory
        is short, the call is made in this one.
        """
        call = pickle.dumps((function, arguments))
        with suppress(OSError):
            self._start()  # by this thread, so that leaving the context ends what was started
        answered = self.thread.submit(self._asked, call)

        def result() -> Result:
            try:
                answer = answered.result()
            except (EOFError, OSError):
                return function(*arguments)
            return _result(answer)

        return result

    def begin_if(
        self, is_worthwhile: bool, function: Callable[..., Result], *arguments: Any
    ) -> Callable[[], Result]:
        """Begin a call where that is worthwhile; else what this gives makes it, in this process."""
        if is_worthwhile:
            return self.begin(function, *arguments)
        return partial(function, *arguments)

    def _start(self) -> None:
        """Start the other process, once. Raises OSError where there is no room for it."""
        if self.connection is None:
            self.connection, theirs = Pipe()
            with theirs:
                arguments = [str(theirs.fileno()), str(os.getpid())]
                self.process = subprocess.Popen(
                    [sys.executable, "-c", SECOND, *arguments],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                )

    def _asked(self, call: bytes) -> bytes:
        """Raises EOFError or OSError where the other process is gone, or was never there."""
        if self.connection is None:
            raise EOFError
        self.connection.send_bytes(call)
        return self.connection.recv_bytes()


def serve(descriptor: int) -> None:
    """Make the calls that the first process asks for, until it ends this one."""
    connection = Connection(descriptor)
    while True:
        connection.send_bytes(_answer(connection.recv_bytes()))


def _answer(call: bytes) -> bytes:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result, error = None, None
        try:
            function, arguments = pickle.loads(call)
            result = function(*arguments)
        except Exception as raised:
            error = raised
    return pickle.dumps((result, error, [one.message for one in caught]))


def _result(answer: bytes) -> Any:
    result, error, messages = pickle.loads(answer)
    for message in messages:
        warnings.warn(message, stacklevel=3)
    if error is not None:
        raise error
    return result
