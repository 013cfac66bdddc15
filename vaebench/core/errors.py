"""Errors that are reported to the user in one line, and helpers for their messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """A user's mistake. The message says what must hold, what was given and what to do."""


class StorageError(InputError):
    """A file cannot be written, as on a full disk; the run whose file it is has not failed."""


class InputWarning(UserWarning):
    """Something is left out and the work goes on; the message says what, why and what to do."""


def near_match(name: str, options: Iterable[str]) -> str:
    """A sentence that points from an unknown name to the nearest known ones."""
    known = sorted(options)
    between = "; " if any("," in option for option in known) else ", "
    return f"{closest(name, known)}known: {between.join(known) or 'none'}"


def closest(name: str, options: Iterable[str]) -> str:
    """ "did you mean ...?" with the nearest of some names; an empty text where none is near."""
    lower = {option.lower(): option for option in options}
    close = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.5)
    return f"did you mean {lower[close[0]]!r}? " if close else ""


def first_line(error: Exception) -> str:
    """The first line of an error's message, cut to 200 characters; its type where it is empty."""
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__
