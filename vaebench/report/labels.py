"""What to call the lines of one observation space: the variant, and what tells it from others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

TOLD_BY = ["variant", "likelihood", "settings"]


def line_names(part: pd.DataFrame) -> list[str]:
    """What to call the lines (or rows) of one observation space: the variant, with the likelihood
    and the settings where these differ."""
    several = part["likelihood"].nunique() > 1
    likelihoods = part["likelihood"].to_list() if several else [""] * len(part)
    told = zip(part["variant"], likelihoods, differing(part), strict=True)
    return [", ".join(filter(None, parts)) for parts in told]


def differing(part: pd.DataFrame) -> list[str]:
    """Of the settings "name=value name=value ..." of each line (or row) those that have several
    values.

    A setting that a line lacks is no value: a model from elsewhere has none of training. It is
    told only where no more than that tells two lines of one variant apart.
    """
    lines = part[TOLD_BY].drop_duplicates().sort_values(TOLD_BY)  # the same in any order of rows
    heads = list(zip(lines["variant"], lines["likelihood"], strict=True))
    settings = [_by_name(text) for text in lines["settings"]]
    shown = _telling(heads, settings)
    texts = {text: _text(own, shown) for text, own in zip(lines["settings"], settings, strict=True)}
    return [texts[text] for text in part["settings"]]


def _telling(heads: Sequence[object], settings: Sequence[Mapping[str, str]]) -> list[str]:
    """The names of the settings to show; with `heads` they tell all lines apart."""
    names = list(dict.fromkeys(name for own in settings for name in own))
    values = {name: {own[name] for own in settings if name in own} for name in names}

    def told(shown: Sequence[str]) -> int:
        texts = [_text(own, shown) for own in settings]
        return len(set(zip(heads, texts, strict=True)))

    shown = [name for name in names if len(values[name]) > 1]
    for name in names:
        if told(shown) == len(heads):
            break
        if told([*shown, name]) > told(shown):
            shown.append(name)
    return shown


def _by_name(settings: str) -> dict[str, str]:
    """Words "name=value name=value ..." -> the values, by name."""
    parts = (word.partition("=") for word in settings.split())
    return {name: value for name, _, value in parts}


def _text(settings: Mapping[str, str], shown: Sequence[str]) -> str:
    return " ".join(f"{name}={value}" for name, value in settings.items() if name in shown)
