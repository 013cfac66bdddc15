"""What to call the variants of one observation space, so that no two have one name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

NAMED_BY = ["variant", "likelihood", "settings"]
VALUE = re.compile(r"(?<==)-?\d+\.\d+(?:e[-+]?\d+)?(?!\w)")
"""A setting's value with a decimal point, in a name."""
HASHED = "plugin"
"""A setting whose value says nothing to people: shown where no other tells two lines apart."""
MOST_DIGITS = 4
"""Significant digits that a name shows of a value."""


def display_names(part: pd.DataFrame) -> list[str]:
    """Name each line (or row) of one observation space by its variant, with the likelihood and the
    settings where these differ.

    Values are rounded to 4 digits, but where two names would then be one.
    """
    several = part["likelihood"].nunique() > 1
    likelihoods = part["likelihood"].to_list() if several else [""] * len(part)
    names = zip(part["variant"].to_list(), likelihoods, differing(part), strict=True)
    return rounded([", ".join(filter(None, parts)) for parts in names])


def told_apart(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs of any observation spaces, a row each, so that two lines of one look are of one variant.

    Of the settings those that differ are left. Where runs of one data set and likelihood are of
    several observation spaces, these take the place of the data set's name.
    """
    spaces = runs.groupby(["dataset", "likelihood"])["observation_space"].transform("nunique")
    dataset = runs["dataset"].where(spaces == 1, runs["observation_space"])
    return runs.assign(dataset=dataset, settings=rounded(differing(runs)))


def rounded(texts: Sequence[str]) -> list[str]:
    """The same texts, their values to 4 digits, but where two that differ would then be one."""
    short = {text: VALUE.sub(_to_digits, text) for text in dict.fromkeys(texts)}
    alike = Counter(short.values())
    return [short[text] if alike[short[text]] == 1 else text for text in texts]


def differing(part: pd.DataFrame) -> list[str]:
    """Keep the settings that differ, of "name=value name=value ..." for each line (or row).

    Settings are words here, as records hold them, and their values are not read as numbers: models
    from elsewhere have no other record of them. A setting that a line lacks is no difference, as
    such a model has none of training. It is shown only where no more than that tells two lines of
    one variant apart.
    """
    columns = [part[name].to_list() for name in NAMED_BY]
    lines = sorted(set(zip(*columns, strict=True)))  # the same in any order of rows
    heads = [(variant, likelihood) for variant, likelihood, _ in lines]
    settings = [_by_name(text) for *_, text in lines]
    shown = _distinguishing(heads, settings)
    texts = {text: _text(one, shown) for (*_, text), one in zip(lines, settings, strict=True)}
    return [texts[text] for text in columns[-1]]


def some_of(names: Sequence[str], most: int) -> str:
    """The first `most` names, and how many more there are; names with commas between semicolons."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    between = "; " if any("," in name for name in names[:most]) else ", "
    return f"{between.join(names[:most])}{more}"


def _to_digits(value: re.Match[str]) -> str:
    """A value as it is written, or to 4 digits where it has more."""
    digits = value[0].partition("e")[0].replace(".", "").strip("-0")
    return value[0] if len(digits) <= MOST_DIGITS else f"{float(value[0]):.{MOST_DIGITS}g}"


def _distinguishing(heads: Sequence[object], settings: Sequence[Mapping[str, str]]) -> list[str]:
    """The names of the settings to show; with `heads` they tell all lines apart."""
    names = list(dict.fromkeys(name for line in settings for name in line))
    values = {name: {line[name] for line in settings if name in line} for name in names}

    def num_distinct(shown: Sequence[str]) -> int:
        texts = [_text(line, shown) for line in settings]
        return len(set(zip(heads, texts, strict=True)))

    shown = [name for name in names if len(values[name]) > 1]
    in_words = [name for name in shown if name != HASHED]
    if num_distinct(in_words) == len(heads):
        return in_words
    for name in names:
        if num_distinct(shown) == len(heads):
            break
        if num_distinct([*shown, name]) > num_distinct(shown):
            shown.append(name)
    return shown


def _by_name(settings: str) -> dict[str, str]:
    """Words "name=value name=value ..." -> the values, by name."""
    parts = (word.partition("=") for word in settings.split())
    return {name: value for name, _, value in parts}


def _text(settings: Mapping[str, str], shown: Sequence[str]) -> str:
    return " ".join(f"{name}={value}" for name, value in settings.items() if name in shown)
