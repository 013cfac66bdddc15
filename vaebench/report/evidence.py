"""All that a report is made of, read from a results folder and computed once."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from vaebench import results
from vaebench.core.beside import Beside, worthwhile
from vaebench.report import clinic
from vaebench.report.comparison import Contest, all_pairs, comparisons, contests
from vaebench.report.means import Array
from vaebench.report.spaces import SPACE, TITLE, titles
from vaebench.report.standings import KEYS, RANKED_BY, USED, Examples, used
from vaebench.report.tables import summary
from vaebench.report.time_to_target import ELBO, performance_profiles, time_to_target
from vaebench.results.columns import category_columns
from vaebench.results.points import COSTS

if TYPE_CHECKING:
    import pandas as pd

Kept = TypeVar("Kept")
DRAWN = ("nll", "elbo", "ais_nll", "rate", "distortion", "examples_per_s")
"""The metrics that figures show."""


@dataclass(frozen=True)
class Evidence:
    """What a results folder shows."""

    folder: Path
    table: pd.DataFrame
    """`summarise`, with the titles of the observation spaces."""
    rows: pd.DataFrame
    """The figures of the runs, see `standings.used`."""
    drawn: pd.DataFrame
    """The rows of the metrics of DRAWN, with the settings of their runs."""
    contests: Sequence[Contest]
    """Each observation space with the pairs of its variants."""
    runs: pd.DataFrame
    """A row for each run, with all that rows say of it."""
    curves: pd.DataFrame
    examples: Examples
    firsts: Mapping[str, results.Record]
    """The record of a run of each observation space."""
    titles: Mapping[str, str]
    findings: Mapping[str, Sequence[clinic.Finding]]
    """What the clinic finds wrong with runs, by their ids."""
    scripts: Callable[[], str]
    """Gives the scripts of the page's charts, which are made while records are gone through."""
    target: float | None = None
    """The validation ELBO to reach; None: what half of the variants reach."""
    reference: str | None = None
    """The variant that differences are to; None: the best."""

    @property
    def ranked(self) -> pd.DataFrame:
        """The KEYS of the lines that have a rank."""
        return self.table.loc[self.table["rank"].notna(), KEYS]

    @property
    def command(self) -> str:
        """What writes this report."""
        words = ["vaebench", "report", str(self.folder)]
        words += [] if self.target is None else ["--target", f"{self.target:g}"]
        words += [] if self.reference is None else ["--reference", self.reference]
        return shlex.join(words)

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """`comparisons` of all pairs; empty without a value of what ranks."""
        return all_pairs(self.contests) if self._is_graded else self.table.iloc[:0]

    @cached_property
    def beside(self) -> pd.DataFrame:
        """`comparisons` with the reference; all pairs without one."""
        if self.reference is None or not self._is_graded:
            return self.pairs
        return comparisons(self.rows, self.examples, against=self.reference)

    @property
    def _is_graded(self) -> bool:
        return not self.values.empty

    @cached_property
    def ranked_values(self) -> pd.DataFrame:
        """The rows of what ranks, of the lines that have a rank."""
        return self.values.merge(self.ranked, on=KEYS)

    @cached_property
    def values(self) -> pd.DataFrame:
        """The rows of what ranks."""
        return self.rows[self.rows["metric"] == RANKED_BY]

    @cached_property
    def times(self) -> pd.DataFrame:
        """`time_to_target`; empty without curves."""
        if self.curves.empty:
            return self.curves
        return time_to_target(self.curves, self.runs, self.target)

    @cached_property
    def profiles(self) -> pd.DataFrame:
        """`performance_profiles`; empty for one observation space."""
        return self.times if self.times.empty else performance_profiles(self.times)

    @cached_property
    def complaints(self) -> list[clinic.Complaint]:
        """What the clinic says of the runs."""
        return clinic.complaints(self.findings, clinic.names_of(self.runs, self.titles))


def gather(folder: Path, target: float | None, reference: str | None, second: Beside) -> Evidence:
    """Read a results folder, once, a large one with the help of a `second` process. Raises
    InputError where there are no results, or a line has two runs of one seed."""
    examples = examples_of(folder)
    read = results.read_together(folder, ("step", ELBO, *COSTS), partial(_wrong, examples), second)
    is_worthwhile = worthwhile(len(read.rows.counts))
    scripts = second.begin_if(is_worthwhile, _scripts)
    second.begin_if(is_worthwhile, _ready_to_draw)
    drawn = read.rows.table(category_columns, read.rows.of_metrics(DRAWN))
    runs = read.rows.table(category_columns, read.rows.of_runs())
    rows = used(read.rows.table(category_columns, columns=USED))
    firsts = first_runs(folder, runs)
    names = titles(firsts)
    paired = contests(rows, examples)
    table = summary(paired)
    table.insert(1, TITLE, table[SPACE].map(names))
    return Evidence(
        folder=folder,
        table=table,
        rows=rows,
        drawn=drawn,
        contests=paired,
        runs=runs,
        curves=read.curves(("run",)),
        examples=examples,
        firsts=firsts,
        titles=names,
        findings=read.seen,
        scripts=scripts,
        target=target,
        reference=reference,
    )


def _scripts() -> str:
    """The scripts of the page's charts."""
    from vaebench.report.page.charts import bundle

    return bundle()


def _ready_to_draw() -> None:
    """Import what draws figures, which takes seconds."""
    import vaebench.report.figures  # noqa: F401


def _wrong(examples: Examples, record: results.Record) -> list[clinic.Finding]:
    """What the clinic finds wrong with a run."""
    return clinic.explain(clinic.Case(record, examples(record.run)))


def titles_of(folder: Path, rows: pd.DataFrame) -> dict[str, str]:
    """What people call the observation spaces of the runs of a folder, given their rows."""
    return titles(first_runs(folder, _runs(rows)))


def examples_of(folder: Path) -> Examples:
    """A function that gives what is kept of a run's examples, and reads each file once."""
    return _ExamplesOf(folder, results.kept(folder, "examples"))


@dataclass(frozen=True)
class _ExamplesOf:
    """What `examples_of` gives; it may be pickled."""

    folder: Path
    runs: frozenset[str]
    known: dict[str, Mapping[str, Array]] = field(default_factory=dict)

    def __call__(self, run: str) -> Mapping[str, Array]:
        if run not in self.runs:
            return {}
        if run not in self.known:
            self.known[run] = results.examples(self.folder, run)
        return self.known[run]


def where_kept(
    folder: Path, part: str, read: Callable[[Path, str], Kept], nothing: Kept
) -> Callable[[str], Kept]:
    """A function that reads that part of a run, given its id, or gives `nothing` where it has none.
    The folder is listed once: to ask the disk for each run takes long, as there may be many."""
    runs = results.kept(folder, part)
    return lambda run: read(folder, run) if run in runs else nothing


def diagnosed(
    folder: Path, runs: pd.DataFrame, names: Mapping[str, str], examples: Examples
) -> list[clinic.Complaint]:
    """What the clinic says of the runs of a folder; `names` are the titles of its spaces."""
    of_runs = clinic.names_of(runs, names)
    findings = {
        record.run: _wrong(examples, record)
        for record in results.records(folder)
        if record.run in of_runs
    }
    return clinic.complaints(findings, of_runs)


def first_runs(folder: Path, runs: pd.DataFrame) -> dict[str, results.Record]:
    """The record of a run of each observation space, of one that is done where there is any."""
    done_first = runs.sort_values("status", key=lambda status: status != "done", kind="stable")
    firsts = done_first.drop_duplicates(SPACE)
    every = zip(firsts[SPACE], firsts["run"], strict=True)
    return {str(space): results.read(folder, str(run)) for space, run in every}


def _runs(rows: pd.DataFrame) -> pd.DataFrame:
    """A row for each run."""
    return rows[rows["seed"].notna()].drop_duplicates("run")
