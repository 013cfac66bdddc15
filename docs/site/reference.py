"""Figures of the reference results: tables on the pages of entries, and numbers within sentences.

`python -m docs.site.reference` writes the numbers of all pages of docs/ again. One stands between
`<!--= FILE; COLUMN=VALUE; ...; COLUMN -->` and `<!--/-->`: FILE below results/reference/, the row
that has these values (`*` in a VALUE: any text; `COLUMN=`: that has none), and the column that is
shown, with two digits or as `COLUMN:FORMAT` says.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pandas as pd

from vaebench.core.shown import markdown

REFERENCE = Path("results/reference")
STUDIES = ("digits", "objectives", "mnist", "shapes")
"""Folders of reports whose variants are named by objective, posterior and prior."""
NUMBER = re.compile(r"(<!--= (.*?) -->)(.*?)(<!--/-->)", re.DOTALL)
BETWEEN_PARTS = re.compile(r", (?![^()]*\))")
NOTE = (
    "± is half of the 95% interval over seeds. Only lines of one study and likelihood compare. "
    "The step time is that of a training step over that of `elbo`, where the study has timings."
)
COLUMNS = [
    *("study", "likelihood", "variant"),
    *("NLL (nats)", "ELBO (nats)", "rate (nats)", "rank", "step time"),
]


@functools.cache
def table(name: str) -> pd.DataFrame:
    """A file of the reference results."""
    return pd.read_csv(REFERENCE / name)


def number(address: str) -> str:
    """What an address says, as text. Raises ValueError unless it is one value."""
    name, *conditions, shown = address.split("; ")
    rows = table(name)
    for condition in conditions:
        column, _, value = condition.partition("=")
        values = rows[column].astype(object)
        texts = values.where(values.notna(), "").astype(str)
        pattern = re.escape(value).replace(r"\*", ".*")
        rows = rows[texts.str.fullmatch(pattern)]
    column, _, form = shown.partition(":")
    if len(rows) != 1:
        raise ValueError(f"{address!r} must name one row of {name}; it names {len(rows)}")
    (value,) = rows[column]
    return value if isinstance(value, str) else format(value, form or ".2f")


def with_numbers(text: str) -> str:
    """A page with its numbers as they are in the files."""
    return NUMBER.sub(lambda match: f"{match[1]}{number(match[2])}{match[4]}", text)


def without_marks(text: str) -> str:
    """A page with its numbers alone, without what they were read from."""
    return NUMBER.sub(lambda match: match[3], text)


def results_of(plural: str, name: str) -> str:
    """The variants of the reference results that an entry is part of, as a table; or ""."""
    lines = [
        _line(study, row, len(rows))
        for study in STUDIES
        for _, rows in table(f"{study}/table.csv").groupby("observation_space", sort=True)
        for row in rows.to_dict("records")
        if name in _named(plural, row["variant"])
    ]
    if not lines:
        return ""
    head = [COLUMNS, ["---"] * len(COLUMNS)]
    shown = "\n".join(f"| {' | '.join(line)} |" for line in [*head, *lines])
    return f"{shown}\n\n{NOTE}"


def _named(plural: str, variant: str) -> list[str]:
    """The entries of a kind that a variant says it has; those it has by default are not said."""
    first, *others = (re.split(r"[ (]", part)[0] for part in BETWEEN_PARTS.split(variant))
    return {"objectives": [first], "posteriors": others, "priors": others}.get(plural, [])


def _line(study: str, row: dict[str, object], num_variants: int) -> list[str]:
    return [
        f"[{study}](../../../{REFERENCE}/{study}/table.md)",
        f"`{row['likelihood']}`",
        markdown(row["variant"]),
        _with_interval(row, "nll"),
        _with_interval(row, "elbo"),
        _with_interval(row, "rate"),
        f"{row['rank']:.0f} of {num_variants}",
        f"{row['step_time_ratio_mean']:.2f}" if "step_time_ratio_mean" in row else "",
    ]


def _with_interval(row: dict[str, object], metric: str) -> str:
    mean, low, high = (float(str(row[f"{metric}_{end}"])) for end in ("mean", "low", "high"))
    return f"{mean:.2f} ± {(high - low) / 2:.2f}"


if __name__ == "__main__":
    for path in sorted(Path("docs").rglob("*.md")):
        text = path.read_text()
        if with_numbers(text) != text:
            path.write_text(with_numbers(text))
            print(path)
