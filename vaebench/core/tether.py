"""Ends a worker process as soon as its coordinator is gone, however that ended.

Imported before anything heavy: a coordinator may be gone while its worker still starts.
"""

from __future__ import annotations

import os
import select
import signal
import threading

LOOK_EVERY_MS = 500
"""A coordinator is missed this soon, even where a process that it forked keeps its connection."""


def tie(descriptor: int, coordinator: int) -> None:
    """End this process as soon as its coordinator is gone.

    `descriptor`: the file descriptor of the connection to it; `coordinator`: its process id. A
    thread sees the connection's other end close, or that this process has another parent.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the coordinator's, who ends us
    threading.Thread(target=_watch, args=(descriptor, coordinator), daemon=True).start()


def _watch(descriptor: int, coordinator: int) -> None:
    """Wait until the connection is closed at its other end, without reading from it."""
    hang_up = select.poll()
    hang_up.register(descriptor, 0)
    while os.getppid() == coordinator and not hang_up.poll(LOOK_EVERY_MS):
        pass
    os._exit(1)
