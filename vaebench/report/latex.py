"""The summary as LaTeX: a table for each observation space, in the style of booktabs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vaebench.core.shown import plain
from vaebench.report.labels import display_names
from vaebench.report.spaces import SPACE
from vaebench.report.standings import RANKED_BY, mappings
from vaebench.report.tables import BRIEF, COLUMNS, cell, shown_metrics, title_of
from vaebench.report.verdicts import OPEN

if TYPE_CHECKING:
    import pandas as pd

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "%": r"\%",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "±": r"$\pm$",
    "[": "{[}",  # which would be an option of what ends the row before, as a star would
    "*": "{*}",
    "†": r"\textsuperscript{\dag}",
}
"""What LaTeX would read as a command, and characters that its usual fonts lack."""
PATTERN = re.compile("|".join(map(re.escape, SPECIAL)))
NUMBER = re.compile(r"(?<![\w.])-(?=\d)")
USES = "% \\usepackage[T1]{fontenc} \\usepackage{booktabs} \\usepackage{graphicx}"
EXPLAINED = (
    r"Means over seeds with half-widths of 95\% intervals. Bold: the best mean NLL. "
    r"\textsuperscript{=}: not told apart from it. \textsuperscript{\dag}: not to be trusted, see "
    "the report."
)


def escaped(words: object) -> str:
    """Text for LaTeX, which shows it as it was written."""
    return PATTERN.sub(lambda match: SPECIAL[match[0]], plain(words))


def latex(table: pd.DataFrame) -> str:
    """Write the summary as LaTeX, best variants in bold, those not told apart from them marked.

    Raises nothing for users' words: every one is escaped.
    """
    parts = (part for _, part in table.groupby(SPACE, sort=True))
    return "\n".join([USES, *map(_table, parts)])


def _table(part: pd.DataFrame) -> str:
    metrics = shown_metrics(part, BRIEF)
    headings = [escaped(COLUMNS[name][0]) for name in metrics]
    names = display_names(part)
    lines = [
        " & ".join([_name(line, name), *(_number(line, metric) for metric in metrics)]) + r" \\"
        for line, name in zip(mappings(part), names, strict=True)
    ]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{escaped(title_of(part))}. {EXPLAINED}}}",
            r"\resizebox{\linewidth}{!}{%",
            rf"\begin{{tabular}}{{l{'r' * len(metrics)}}}",
            r"\toprule",
            " & ".join(["variant", *headings]) + r" \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table}",
            "",
        ]
    )


def _name(line: Mapping[str, Any], name: str) -> str:
    is_tied = line["shares"] == 1 and line["verdict"] in OPEN
    return escaped(name) + (r" \textsuperscript{=}" if is_tied else "")


def _number(line: Mapping[str, Any], metric: str) -> str:
    """A cell; in bold that of the best in what ranks."""
    words = NUMBER.sub("$-$", escaped(cell(line, metric)))
    is_best = metric == RANKED_BY and line["rank"] == 1
    return rf"\textbf{{{words}}}" if is_best else words
