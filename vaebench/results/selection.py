"""Which runs of a folder are meant: a row for each run, and conditions on its columns."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaebench.core.errors import InputError, closest, near_match
from vaebench.results.reading import TIMED
from vaebench.results.rows import NUMBERS, TEXTS, load

if TYPE_CHECKING:
    import pandas as pd

SIGNS: dict[str, Callable[[Any, Any], Any]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "!=": operator.ne,
    "=": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}
MOST_NAMED = 20
"""Values of a column that are all named; of more, the nearest one alone."""
CONDITION = re.compile(r"\s*([^<>=!]+?)\s*(<=|>=|!=|=|<|>)\s*(.*?)\s*")


@dataclass(frozen=True)
class Condition:
    """What a column must be: its name, how it is compared, and the value as text."""

    name: str
    sign: str
    value: str

    def holds(self, runs: pd.DataFrame) -> pd.Series:
        """Whether it holds of each run; of none that lacks the value. Raises InputError.

        A column of numbers is compared with a number; texts are equal or not.
        """
        import pandas as pd

        column = runs[column_of(self.name, runs)]
        compare = SIGNS[self.sign]
        if pd.api.types.is_numeric_dtype(column):
            return compare(column, self._number()).fillna(False) & column.notna()
        if self.sign not in ("=", "!="):
            raise InputError(f"{self.name} holds words, which are = or !=; got {self.sign}")
        return compare(column, self.value) & column.notna()

    def _number(self) -> float:
        try:
            return float(self.value)
        except ValueError:
            raise InputError(
                f"{self.name} holds numbers, and is compared with one; got {self.value!r}"
            ) from None


def conditions(texts: Sequence[str]) -> list[Condition]:
    """Conditions such as objective=iwae or beta>2. Raises InputError for anything else."""
    matches = [CONDITION.fullmatch(text) for text in texts]
    for text, match in zip(texts, matches, strict=True):
        if not match:
            raise InputError(
                f"a condition must be NAME=VALUE, or with != < > <= >=, as in objective=iwae; "
                f"got {text!r}"
            )
    return [Condition(*match.groups()) for match in matches if match]


def selected(out: Path, wanted: Sequence[Condition] = (), metrics: Sequence[str] = ()) -> Any:
    """The runs of a folder of which all conditions hold: a row each, metrics as columns.

    The metrics are those that are named, here and in conditions. Raises InputError where the
    folder has no results, and for a name that none of its runs has.
    """
    runs = each(out, {*metrics, *(condition.name for condition in wanted)})
    for condition in wanted:
        runs = runs[condition.holds(runs)]
    return runs.reset_index(drop=True)


def unknown_values(out: Path, wanted: Sequence[Condition]) -> list[str]:
    """A sentence for each condition on words that no run of a folder has, with what it may have
    meant: "no run has objective=elbow; did you mean 'elbo'? known: elbo, iwae"."""
    runs = each(out, {condition.name for condition in wanted})
    sentences = []
    for name, sign, value in ((one.name, one.sign, one.value) for one in wanted):
        known = set(runs[column_of(name, runs)].dropna())
        if sign != "=" or value in known or not all(isinstance(word, str) for word in known):
            continue
        near = near_match(value, known) if len(known) <= MOST_NAMED else closest(value, known)
        sentences.append(f"no run has {name}={value}{f'; {near.strip()}' if near else ''}")
    return sentences


def each(out: Path, metrics: set[str]) -> pd.DataFrame:
    """A row for each run of a folder, with the values of some metrics as columns."""
    rows = load(out, metrics)
    rows = rows[~rows["run"].str.startswith(TIMED)]
    runs = rows.drop(columns=[*TEXTS, *NUMBERS]).drop_duplicates("run").set_index("run")
    graded = rows[rows["metric"] != ""]
    values = graded.pivot(index="run", columns="metric", values="value")
    taken = {name: f"{name} (metric)" for name in values if name in runs}
    return runs.join(values.rename(columns=taken)).reset_index()


def column_of(name: str, runs: pd.DataFrame) -> str:
    """The column that a name means: its own, or that of a setting or hyperparameter which ends
    so, "beta" for "objective.beta". Raises InputError where there is none, or several."""
    if name in runs:
        return name
    columns = list(map(str, runs))
    ending = sorted(column for column in columns if column.endswith(f".{name}"))
    if len(ending) == 1:
        return ending[0]
    if ending:
        raise InputError(f"{name!r} is each of {', '.join(ending)}: give one in full")
    words = {column.rpartition(".")[2] for column in columns}
    raise InputError(f"no run has {name!r}; {near_match(name, words)}")
