"""Ends a worker process as soon as its coordinator is gone, however that ended.

Imported before anything heavy: a coordinator may be gone while its worker still starts.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading

PR_SET_PDEATHSIG = 1
"""Option of Linux's prctl: the signal that a process gets when the thread that started it ends."""
LOOK_EVERY_MS = 500


def tie(descriptor: int, coordinator: int) -> None:
    """End this process as soon as its coordinator is gone.

    `descriptor`: the file descriptor of the connection to it; `coordinator`: its process id. Linux
    kills this process by itself; elsewhere, and where that fails, a thread sees the connection's
    other end close.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the coordinator's, who ends us
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != coordinator:
        os._exit(1)  # it was gone before the system was asked
    threading.Thread(target=_watch, args=(descriptor, coordinator), daemon=True).start()


def _watch(descriptor: int, coordinator: int) -> None:
    """Wait until the connection is closed at its other end, without reading from it."""
    hang_up = select.poll()
    hang_up.register(descriptor, 0)
    while not hang_up.poll(LOOK_EVERY_MS) and os.getppid() == coordinator:
        pass
    os._exit(1)
