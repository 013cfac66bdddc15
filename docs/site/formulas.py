"""Formulas in LaTeX become MathML when the site is built, which browsers show without scripts."""

from __future__ import annotations

from typing import Any

from latex2mathml.converter import convert


def display(source: str, language: str, css: str, options: Any, md: Any, **others: Any) -> str:
    """The block of a fence ```math, for pymdownx.superfences. Parts by \\qquad are lines."""
    lines = source.replace("\n", " ").split(r"\qquad")
    return f'<div class="formula">{"".join(map(mathml, lines))}</div>'


def mathml(source: str) -> str:
    """One formula as an element of its own."""
    return convert(source.strip().removesuffix(",").strip(), display="block")
