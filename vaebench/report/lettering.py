"""Names in figures: in fonts that have their characters, or by the characters' numbers."""

from __future__ import annotations

import functools
import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from matplotlib import font_manager, rcParams
from matplotlib.ft2font import FT2Font

from vaebench.core.shown import plain

LOG = logging.getLogger("vaebench.report")

LAST_RESORT = "LastResort"
LONGEST = 120
"""Characters of a name that a figure shows."""
rcParams["text.parse_math"] = False  # a dollar in a file's name is no formula


def lettered(names: Iterable[str]) -> dict[str, str]:
    """Give what figures write for each name, all different, and set the fonts that this takes.

    A character that no installed font has is written as its number, which the log says once.
    """
    words = {name: plain(name) for name in names}
    missing = {c for word in words.values() for c in word} - _characters(_usual())
    fonts = _fonts_with(frozenset(missing)) if missing else ()
    rcParams["font.family"] = [*_families(), *(family for family, _ in fonts)]
    unknown = missing.difference(*(characters for _, characters in fonts))
    if unknown:
        _say_once(frozenset(unknown))
    return _distinct({name: _cut(_numbered(word, unknown)) for name, word in words.items()})


@functools.cache
def _families() -> tuple[str, ...]:
    """The font families that matplotlib is set up with."""
    return tuple(rcParams["font.family"])


@functools.cache
def _usual() -> str:
    """The file of the font that matplotlib uses by default."""
    return font_manager.findfont(font_manager.FontProperties(family=list(_families())))


@functools.cache
def _characters(path: str) -> frozenset[str]:
    """The characters of a font; none for a file that matplotlib cannot read, and for the font that
    has a box for each."""
    try:
        font = FT2Font(path)
        if LAST_RESORT in font.family_name.replace(" ", ""):
            return frozenset()
        return frozenset(map(chr, font.get_charmap()))
    except (OSError, RuntimeError):
        return frozenset()


@functools.cache
def _fonts_with(missing: frozenset[str]) -> tuple[tuple[str, frozenset[str]], ...]:
    """Installed fonts, by name, that have characters which those before them lack."""
    regular = [f for f in font_manager.fontManager.ttflist if f.style == "normal"]
    chosen = []
    for font in sorted(regular, key=lambda f: (abs(_weight(f) - 400), f.name, f.fname)):
        characters = _characters(font.fname) & missing
        if characters and Path(font.fname).is_file():
            chosen.append((font.name, characters))
            missing -= characters
        if not missing:
            break
    return tuple(chosen)


def _weight(font: font_manager.FontEntry) -> int:
    return font.weight if isinstance(font.weight, int) else 400


@functools.cache
def _say_once(unknown: frozenset[str]) -> None:
    characters = "".join(sorted(unknown))
    LOG.warning(
        "no installed font has %s: figures write their numbers, as %s",
        characters,
        _numbered(characters[0], unknown),
    )


def _numbered(word: str, unknown: Iterable[str]) -> str:
    table = {ord(c): c.encode("unicode_escape").decode() for c in unknown}
    return word.translate(table)


def _distinct(words: Mapping[str, str]) -> dict[str, str]:
    """The words, with a number after those that are there twice."""
    seen: Counter[str] = Counter()
    distinct = {}
    for name, word in words.items():
        seen[word] += 1
        distinct[name] = word if seen[word] == 1 else f"{word} ({seen[word]})"
    return distinct


def _cut(word: str) -> str:
    """Cut the middle of a word, so that it leaves room for the figure. A word that begins with an
    underscore would be left out of legends: a space goes before it."""
    tail = LONGEST // 3
    short = word if len(word) <= LONGEST else f"{word[: LONGEST - tail - 1]}…{word[-tail:]}"
    return f" {short}" if short.startswith("_") else short
