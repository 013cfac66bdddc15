"""Escapes text from users' files, so that neither a terminal nor a page interprets it.

Names of studies, data files, plugins' entries and what they raise may hold anything. So everything
printed goes through `plain`, and everything put into Markdown through `markdown`.
"""

from __future__ import annotations

import re

SPECIAL = re.compile(
    r"[\\`*|<~$]"  # code, emphasis, columns, HTML, strikethrough, formulas
    r"|(?<![^\W_])_|_(?![^\W_])"  # emphasis: an underscore within a word is none
    r"|(?<=\])[(\[:]"  # the target of a link
    r"|&(?=#?\w+;)"  # a character by its name
)
MARKDOWN = {"|": r"\|", "<": "&lt;", "&": "&amp;"}


def plain(words: object) -> str:
    """Text on one line, with everything unprintable escaped, as \\x1b or \\u202e.

    That is control characters, the direction of text, what cannot be seen, and half of a surrogate
    pair, which stands for a byte of a file name.
    """
    text = str(words)
    if text.isprintable():  # as nearly all are
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def duration(seconds: float) -> str:
    """Seconds in the unit that people would say: "40 s", "12 min", "3.5 h", "6 days"."""
    for unit, length, most in (("s", 1.0, 90.0), ("min", 60.0, 5400.0), ("h", 3600.0, 172800.0)):
        if seconds < most:
            return f"{seconds / length:.2g} {unit}"
    days = seconds / 86400.0
    return f"{days:.2g} days" if days < 99.5 else f"{days:.0f} days"


def size(num_bytes: float) -> str:
    """Bytes in the unit that people would say: "40 KiB", "3.5 MiB", "12 GiB"."""
    for unit, length in (("KiB", 2**10), ("MiB", 2**20), ("GiB", 2**30)):
        if num_bytes < 999.5 * length:
            return f"{num_bytes / length:.3g} {unit}"
    return f"{num_bytes / 2**40:.3g} TiB"


def markdown(words: object) -> str:
    """Text escaped for Markdown, in cells of tables too: a reader sees it as it was written."""
    return SPECIAL.sub(lambda match: MARKDOWN.get(match[0], rf"\{match[0]}"), plain(words))
