"""Listeners of a study's runs, one file each: `--listen NAME:TARGET` chooses among them."""

from vaebench.core.registry import discover
from vaebench.running.listeners.audience import NOBODY, Audience, audience_of, named, opened
from vaebench.running.listeners.entry import LISTENERS, Listener, listener

discover(__name__, __path__)

__all__ = [
    "LISTENERS",
    "NOBODY",
    "Audience",
    "Listener",
    "audience_of",
    "listener",
    "named",
    "opened",
]
