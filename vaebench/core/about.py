"""What the documentation says of an entry beside the facts that are checked."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limit:
    """The entry becomes `other`, of its kind, where what `when` says holds.

    For what needs other inputs or a limit; what holds at hyperparameters is a fact of its own. For
    each that the package declares, tests/conformance/test_limits.py has a proof.
    """

    other: str
    when: str
    """The rest of a sentence that begins with "equals OTHER where"."""


@dataclass(frozen=True)
class About:
    """The page of an entry: its formula, and what a user should know before choosing it."""

    formula: str = ""
    """LaTeX, in the symbols of the pages; parameters that have another name there are named."""
    wrong_when: str = ""
    """Where not to use it, or not to believe it: sentences."""
    cost: str = ""
    """What it takes beside what every entry of its kind takes: a phrase."""
    limits: tuple[Limit, ...] = ()


NOTHING = About()
