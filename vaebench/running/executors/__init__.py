"""Where jobs run: one function per place, with one interface.

A module in this folder registers by being here. It imports what only it needs when it is chosen.
"""

from vaebench.core.registry import discover
from vaebench.running.executors.entry import EXECUTORS, Executor, executor

discover(__name__, __path__)

__all__ = ["EXECUTORS", "Executor", "executor"]
