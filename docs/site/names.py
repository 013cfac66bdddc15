"""The name of an entry in backticks leads to its page, wherever it stands in a sentence."""

from __future__ import annotations

import functools
import os
import re
from collections import Counter
from pathlib import PurePosixPath

from docs.site.entries import KINDS, uri_of
from vaebench.config import RunConfig
from vaebench.config.schedules import SCHEDULES

NAME = re.compile(r"(```.*?\n```|\[[^\]]*\]|^#.*?$)|`(\w+)`(?!`)", re.DOTALL | re.MULTILINE)
"""A name in backticks that stands in no block of code, link or heading."""


@functools.cache
def _pages_of_names() -> dict[str, str]:
    """The names that mean an entry wherever they stand, and its page.

    Not so names of two entries, of hyperparameters, and of fields of a configuration.
    """
    every = [(name, uri_of(kind, name)) for kind in KINDS for name in kind.registry]
    entries = [entry for kind in KINDS for entry in kind.registry.values()]
    others = {name for entry in entries for name in entry.hyper}
    others |= {*RunConfig.__struct_fields__, *SCHEDULES}
    counts = Counter(name for name, _ in every)
    return {name: uri for name, uri in every if counts[name] == 1 and name not in others}


def linked_in(text: str, page: str) -> str:
    """The text of a page, where the name of an entry leads to its page."""

    def link(match: re.Match[str]) -> str:
        uri = _pages_of_names().get(match[2] or "")
        if uri is None or uri == page:
            return match[0]
        return f"[`{match[2]}`]({os.path.relpath(uri, PurePosixPath(page).parent)})"

    return NAME.sub(link, text)


def indexed(registry: str) -> str:
    """docs/registry.md, where the first cell of a line leads to the page of its entry."""
    first, *sections = re.split(r"^(?=## )", registry, flags=re.MULTILINE)
    return first + "".join(map(_indexed_section, sections))


def _indexed_section(text: str) -> str:
    plural = text.split()[1]
    for kind in KINDS:
        if kind.plural == plural:
            return re.sub(
                r"^\| (?!name)(\w+) \|", rf"| [\1](entries/{plural}/\1.md) |", text, flags=re.M
            )
    return text
