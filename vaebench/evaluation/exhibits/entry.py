"""What a registered exhibit declares of itself, and the decorator that registers it.

An exhibit is something of trained runs to look at. Nothing is computed from it, and no figure rests
on it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from torch import Tensor

from vaebench.core.errors import InputError
from vaebench.core.registry import Registry, named_arguments, registers
from vaebench.evaluation.grading import Subject, ask, with_own_streams

Form = Literal["examples", "columns"]
"""How an exhibit is drawn: as a sheet of examples, or as a chart of a figure of each column of the
data, beside the same of the model."""

WIDEST_LINE = 256
"""Numbers of an example, at most, that is drawn as a line: no eye follows more."""


@dataclass(frozen=True)
class Exhibit:
    """One entry of the registry: a function that gives what is shown, and how to read it."""

    name: str
    show: Callable[[Subject], Tensor]
    """(subject) -> [S, rows, columns, n]; see `Form` for n: the P numbers of an example, or the
    columns of the data, where "rows" are figures and "columns" the data and the model."""
    caption: str
    """How to read it, in a sentence or two."""
    source: str
    fits: Callable[[Subject], bool]
    """Whether it means something of these models and data."""
    form: Form = "examples"
    row_names: tuple[str, ...] = ()
    """What the rows are, where they have names."""

    def check(self) -> None:
        """Raises InputError where it does not say how to read what it shows."""
        if not self.caption:
            raise InputError(f"exhibit {self.name!r} must have a caption that says how to read it")


def can_be_seen(subject: Subject) -> bool:
    """Whether an example can be drawn: as an image, or as a line that is not too long."""
    return subject.dataset.pictured or subject.dataset.num_pixels <= WIDEST_LINE


EXHIBITS: Registry[Exhibit] = Registry("exhibit")
Show = TypeVar("Show", bound=Callable[[Subject], Tensor])


@named_arguments
def exhibit(
    *,
    caption: str,
    source: str,
    fits: Callable[[Subject], bool],
    form: Form = "examples",
    row_names: tuple[str, ...] = (),
) -> Callable[[Show], Show]:
    """Register the decorated function under its own name, with the fields of Exhibit.

    Raises InputError where it has no caption.
    """
    return registers(
        EXHIBITS,
        lambda name, show: Exhibit(
            name, show, caption=caption, source=source, fits=fits, form=form, row_names=row_names
        ),
    )


@dataclass(frozen=True)
class Shown:
    """An exhibit of S runs."""

    entry: Exhibit
    x: Tensor  # [S, rows, columns, n] on the CPU


def exhibited(subject: Subject) -> list[Shown]:
    """Every exhibit that fits the runs, each from random numbers of its own.

    Raises InputError for one that gives another shape than it must.
    """
    fitting = [entry for entry in EXHIBITS.values() if ask(entry.fits, subject)]
    return [Shown(entry, _checked(entry, subject)) for entry in fitting]


def _checked(entry: Exhibit, subject: Subject) -> Tensor:
    x = ask(entry.show, with_own_streams(subject, entry.name)).float().cpu()
    num_runs, num_pixels = subject.model.num_runs, subject.dataset.num_pixels
    last = {"examples": ("P", num_pixels), "columns": ("columns", x.shape[-1])}[entry.form]
    rows = len(entry.row_names) or (x.shape[1] if x.ndim == 4 else 1)
    if x.ndim != 4 or (len(x), x.shape[1], x.shape[3]) != (num_runs, rows, last[1]) or 0 in x.shape:
        raise InputError(
            f"exhibit {entry.name!r} must give [S, rows, columns, {last[0]}], here "
            f"[{num_runs}, {rows}, any, {last[1]}]; it gave {list(x.shape)}"
        )
    return x
