"""Mistakes of the user, what the disk refuses, and the hint that goes with a wrong name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """A user's mistake. The message says what must hold, what was given and what to do."""


class StorageError(InputError):
    """A file cannot be written, as on a full disk: no fault of the run whose file it is."""


class InputWarning(UserWarning):
    """What was left out though the work goes on; the message says why and what to do."""


def near_match(name: str, options: Iterable[str]) -> str:
    """A sentence that points from an unknown name to the nearest known ones."""
    known = sorted(options)
    lower = {option.lower(): option for option in known}
    close = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.5)
    hint = f"did you mean {lower[close[0]]!r}? " if close else ""
    return f"{hint}known: {', '.join(known) or 'none'}"
