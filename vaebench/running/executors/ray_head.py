"""Joins a Ray cluster, and asks whether its head is still there."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vaebench.core.errors import InputError, first_line
from vaebench.core.settings import VARIABLES
from vaebench.running.executors.ray_greeting import answers, check_ray

REACH_S = 3.0
"""Seconds in which a cluster's head must take a connection; as many to greet, and to answer."""


LOOK_S = 1.0
"""Seconds between looks for a head that is gone."""


GONE_S = 10.0
"""Seconds without an answer after which it is: Ray would wait for a minute, and end the process."""


PASSED_ON = ("VAEBENCH_", "OMP_", "MKL_", "OPENBLAS_", "KMP_", "MALLOC_", "TORCH", "TRITON_")
"""How variables begin that a worker on a node has as one on this machine would."""


PASSED_ON_TOO = ("XDG_CACHE_HOME", "CC")


def joined(address: str, num_cpus: int) -> Any:
    """The module `ray`, connected to a cluster. Raises InputError where it cannot be."""
    try:
        import ray
    except ImportError as error:
        raise InputError("--executor ray needs Ray: install the extra, .[ray]") from error

    if ray.is_initialized():
        return ray
    address = address or os.environ.get("RAY_ADDRESS", "") or _started_last()
    _check_address(address)
    options: dict[str, Any] = {
        "address": address or None,
        "log_to_driver": False,
        "include_dashboard": False,
        "logging_level": logging.ERROR,
        "runtime_env": {"env_vars": environment()},
    }
    try:
        with _keeping_signals():
            try:
                ray.init(num_cpus=num_cpus, **options)
            except ValueError:  # there is a cluster, whose size is not ours to say
                ray.init(**options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise InputError(
            f"the Ray cluster must take this process; {first_line(error)}: see its logs"
        ) from error
    return ray


def _started_last() -> str:
    """The address of the cluster that was started last on this machine; "" where none was."""
    from ray._private.utils import read_ray_address

    return read_ray_address() or ""


def environment() -> dict[str, str]:
    """The variables of a worker's environment that a worker on this machine would have."""
    named = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(PASSED_ON) or name in PASSED_ON_TOO
    }
    return {**VARIABLES, **named}


class Head:
    """The head of a cluster, without which tasks run on, but none is begun and none found."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.last_seen = self.last_asked = time.monotonic()

    @property
    def is_there(self) -> bool:
        """Whether it answered when it was last asked: else Ray's own questions wait for minutes."""
        return self.last_seen == self.last_asked

    def check(self, at_once: bool) -> None:
        """Ask it, or only now and then. Raises InputError where it is silent for long."""
        now = time.monotonic()
        if not at_once and now - self.last_asked < LOOK_S:
            return
        self.last_asked = now
        try:
            answers(self.address, LOOK_S)
            self.last_seen = now
        except OSError as error:
            if now - self.last_seen > GONE_S:
                raise InputError(
                    f"the head of the Ray cluster must stay; {self.address} is gone ({error}): "
                    f"start it again and give the same command, which goes on from the records"
                ) from error


def _check_address(address: str) -> None:
    """Raises InputError where no Ray answers; Ray itself would try for minutes."""
    if "://" in address:
        raise InputError(
            f"the address of a Ray cluster is HOST:PORT of its head, as tasks do not stream to a "
            f"Ray client; got {address!r}: leave out {address.partition('://')[0]}://, the port is "
            f"6379 unless `ray start` was given another"
        )
    if ":" not in address:
        return  # "auto", "local", or nothing: Ray looks for itself
    try:
        check_ray(address, REACH_S)
    except (OSError, ValueError, OverflowError) as error:
        raise InputError(
            f"a Ray cluster must answer at {address!r}; {error}: start it, correct --ray-address "
            f"or RAY_ADDRESS, or let `ray stop` forget one that was started on this machine"
        ) from error


@contextmanager
def _keeping_signals() -> Iterator[None]:
    """Put back our handler of SIGTERM: Ray's own ends the program as if all were well."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)
