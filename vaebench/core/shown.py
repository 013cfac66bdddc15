"""Words from users' files where they are shown: a terminal and a page obey none of them.

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
    """On one line. What steers (escape sequences, the direction of text) or is not seen is written
    as its number, \\x1b or \\u202e; so is half of a surrogate pair, for a byte of a file name."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(words)
    )


def markdown(words: object) -> str:
    """As text of Markdown, in a cell of a table too, that a reader sees as it was written."""
    return SPECIAL.sub(lambda found: MARKDOWN.get(found[0], rf"\{found[0]}"), plain(words))
