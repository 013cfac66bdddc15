"""Formulas in LaTeX become MathML when the site is built, which browsers show without scripts."""

from __future__ import annotations

import re
from typing import Any

from latex2mathml.converter import convert


def display(source: str, language: str, css: str, options: Any, md: Any, **others: Any) -> str:
    """The block of a fence ```math, for pymdownx.superfences. What \\quad parts are lines."""
    lines = re.split(r"\\q?quad", source.replace("\n", " "))
    return f'<div class="formula">{"".join(map(mathml, lines))}</div>'


def mathml(source: str) -> str:
    """One formula as an element of its own."""
    return convert(source.strip().removesuffix(",").strip(), display="block")
