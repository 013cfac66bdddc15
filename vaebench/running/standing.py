"""Where some work stands: a value that whoever shows progress is given at each change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from vaebench.results import Record

RANKED_BY = "nll"
"""The metric of held-out data by which the best so far is named, as the report's ranking does."""


@dataclass(frozen=True)
class Standing:
    """How many of some runs, or trials, have ended and how, and what is at work."""

    counts: Mapping[str, int]
    """How many ended how: done, diverged, failed and the like."""
    total: int | None = None
    """How many there are in all; None where that is not known."""
    unit: str = "runs"
    at_work: int = 0
    """Runs that workers have begun and not ended."""
    compiling: tuple[str, ...] = ()
    """The variants whose graphs are being compiled."""
    graphs_ready: int = 0
    num_graphs: int = 0
    best: tuple[str, ...] = ()
    """The best so far, a sentence for each observation space."""

    @property
    def share(self) -> float | None:
        """The share that has ended, from 0 to 1; None where the total is not known."""
        return sum(self.counts.values()) / self.total if self.total else None

    @property
    def words(self) -> str:
        """How many have ended how, and how many runs are at work: "3 of 40 runs done, 1 failed"."""
        of = "" if self.total is None else f" of {self.total}"
        done = f"{self.counts.get('done', 0)}{of} {self.unit} done"
        rest = "".join(f", {n} {how}" for how, n in self.counts.items() if n and how != "done")
        runs = "" if self.unit == "runs" else " runs"
        return f"{done}{rest}{f'; {self.at_work}{runs} at work' if self.at_work else ''}"

    @property
    def compiling_words(self) -> str:
        """Which graph is being compiled, and how many are ready; "" where none is."""
        if not self.compiling:
            return ""
        ready = f": {self.graphs_ready} of {self.num_graphs} graphs ready"
        return f"compiling {', '.join(self.compiling)}{ready if self.num_graphs else ''}"


@dataclass
class Mean:
    """The mean of what was counted so far."""

    total: float = 0.0
    count: int = 0

    def add(self, value: float) -> None:
        self.total, self.count = self.total + value, self.count + 1

    @property
    def value(self) -> float:
        return self.total / self.count


@dataclass
class Best:
    """The variants of the records so far by their mean held-out NLL, in each observation space."""

    spaces: dict[str, dict[tuple[str, ...], Mean]] = field(default_factory=dict)

    def count(self, record: Record) -> None:
        """Count a record that has an NLL."""
        labels = record.labels
        variant = (labels.variant, labels.likelihood, labels.dataset, labels.settings)
        for metric in record.metrics:
            if metric.metric == RANKED_BY and metric.value is not None:
                means = self.spaces.setdefault(labels.observation_space, {})
                means.setdefault(variant, Mean()).add(metric.value)

    def sentences(self) -> Iterator[str]:
        """The variant with the lowest mean in each space, with the number of runs behind it."""
        for means in self.spaces.values():
            (variant, likelihood, dataset, _), mean = min(means.items(), key=lambda m: m[1].value)
            runs = f"mean of {mean.count} runs" if mean.count > 1 else "one run"
            where = f" on {dataset}, {likelihood}" if len(self.spaces) > 1 else ""
            yield f"lowest test NLL so far{where}: {mean.value:.5g} nats, {variant} ({runs})"
