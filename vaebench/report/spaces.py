"""What people call an observation space: made from the values of a run's configuration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from vaebench.results import Record

OBSERVED = {
    "none": "as stored",
    "dynamic": "binarised anew each epoch",
    "threshold": "binarised at a threshold",
    "static": "binarised once",
}
"""How stored values become observations, in words, by the name of the binarisation."""
MORE = {"standardise": ", standardised", "library_size": ", library size known"}
"""What else is said of them, by the setting that is on."""
TITLE, SPACE = "title", "observation_space"
"""Columns: what people call an observation space, and the word that records have for it."""


def titles(runs: Mapping[str, Record]) -> dict[str, str]:
    """Name observation spaces for people, given the record of a run of each.

    As "Digits, binarised anew each epoch; probabilities, nats". Names that would be alike say more:
    the samples of the NLL, the split, and at last the recorded word. That is also the name of a
    space whose runs have no configuration.
    """
    details = {space: _details(space, run.config) for space, run in runs.items()}
    chosen = {space: _title(run, ()) or space for space, run in runs.items()}
    for num in range(1, 1 + max(map(len, details.values()), default=0)):
        alike = Counter(chosen.values())
        chosen |= {
            space: _title(run, details[space][:num]) or space
            for space, run in runs.items()
            if alike[chosen[space]] > 1
        }
    return chosen


def by_space(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The lines of each observation space; {} for none, where the table may have no columns."""
    return {} if table.empty else {str(space): part for space, part in table.groupby(SPACE)}


def titled(table: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """A table with the names for people in the place of its observation spaces, where known."""
    if table.empty:  # it may have no columns at all, as where nothing could be compared
        return table
    return table.assign(**{SPACE: [names.get(space, space) for space in table[SPACE]]})


def _title(run: Record, details: tuple[str, ...]) -> str:
    """The name with some of the details; "" where the configuration does not say."""
    data = run.config.get("data")
    if not isinstance(data, Mapping) or "name" not in data:
        return ""
    label = Path(str(data["name"])).stem.replace("_", " ")
    binarisation = str(data.get("binarisation", "none"))
    observed = "dequantised" if data.get("dequantise") else OBSERVED.get(binarisation, binarisation)
    observed += "".join(words for name, words in MORE.items() if data.get(name))
    measure = _measure(run)
    unit = f"{measure}, nats" if measure else "nats"
    return "; ".join((f"{label[:1].upper()}{label[1:]}, {observed}", unit, *details))


def _details(space: str, config: Mapping[str, Any]) -> tuple[str, ...]:
    """What else tells spaces apart, in the order in which it is said."""
    data, evaluate = config.get("data") or {}, config.get("evaluate") or {}
    fraction = data.get("valid_fraction")
    split = f"split {data.get('split_seed', 0)}"
    return (
        f"K = {evaluate.get('num_samples')}",
        split if fraction is None else f"{split}, {fraction:g} to validate on",
        space,
    )


def _measure(run: Record) -> str:
    """Whether the NLL is of probabilities, which have bits per dimension too, or of densities; ""
    where there is none."""
    graded = {metric.metric for metric in run.metrics}
    if "nll" not in graded:
        return ""
    return "probabilities" if "bits_per_dim" in graded else "densities"
