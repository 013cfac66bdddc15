"""What is asked for of a data set: where it is, and how it is read and divided."""

from __future__ import annotations

from dataclasses import dataclass

from vaebench.data.values import Values


@dataclass(frozen=True)
class Request:
    """A data set by name or path, as it is read before anything is drawn of it."""

    name: str
    values: Values | None = None
    """What its numbers are; None: what the data set itself says, or intensities."""
    columns: tuple[str, ...] = ()
    """Columns of a table that make an example; none: all."""
    test_fraction: float | None = None
    """The share of the examples to test on, where the data set has no such part."""
    valid_fraction: float | None = None
    """The share of the other examples to validate on, where there is no such part; None: 1/6."""
    split_seed: int = 0
    standardise: bool = False
    """Whether each pixel is scaled to mean 0 and variance 1 over the training part."""
    by_library: bool = False
    """Whether the library size of counts is taken as known."""

    @property
    def changes(self) -> tuple[str, ...]:
        """What tells two readings of the same bytes apart, in words."""
        split = f"valid {self.valid_fraction} seed {self.split_seed}"
        stated = {
            f"test {self.test_fraction} seed {self.split_seed}": self.test_fraction is not None,
            f"standardised on all but {split}": self.standardise,
            "library size known": self.by_library,
        }
        return tuple(words for words, holds in stated.items() if holds)
