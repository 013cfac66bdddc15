"""What a verdict leaves: JSON, `.eval_results` of the Hugging Face hub, and a badge."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import msgspec

from vaebench import results
from vaebench.reproduction.rule import Outcome, Verdict
from vaebench.reproduction.verdict import Reproduction

COLOURS = {
    Verdict.REPRODUCED: "#2e7d32",
    Verdict.NOT_REPRODUCED: "#c62828",
    Verdict.NOT_COMPARABLE: "#616161",
}
WIDTH_OF_LETTER, MARGIN = 6.6, 8
"""Pixels of a letter at 11 px in a common sans-serif font, on average, and beside a word."""


def as_builtins(done: Reproduction) -> dict[str, Any]:
    """The verdict as JSON has it."""
    table: dict[str, Any] = msgspec.to_builtins(done, enc_hook=str)
    return table


def write_files(folder: Path, done: Reproduction) -> list[Path]:
    """Write verdict.json, badge.svg and, of data that the hub has, .eval_results/CLAIM.yaml.

    Returns where they are.
    """
    results.writable(folder)
    texts = {
        folder / "verdict.json": json.dumps(as_builtins(done), indent=1) + "\n",
        folder / "badge.svg": badge(f"{done.claim}, {done.scale}", done.verdict),
    }
    if done.hub and any(outcome.ours is not None for outcome in done.outcomes):
        texts[folder / ".eval_results" / f"{done.claim}.yaml"] = eval_results(done)
    for path, text in texts.items():
        path.parent.mkdir(exist_ok=True)
        results.write_atomically(path, text.encode())
    return list(texts)


def read_verdict(path: Path) -> Reproduction:
    """A verdict that `write_files` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=Reproduction)


def badge(label: str, verdict: Verdict) -> str:
    """A badge as SVG: the label on grey, the verdict on its colour."""
    left, right = (round(len(word) * WIDTH_OF_LETTER) + 2 * MARGIN for word in (label, verdict))
    words = escape(f"{label}: {verdict}")
    font = 'font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" fill="#fff"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" '
        f'aria-label="{words}"><title>{words}</title>'
        f'<rect width="{left}" height="20" fill="#424242"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{COLOURS[verdict]}"/>'
        f'<text x="{MARGIN}" y="14" {font}>{escape(label)}</text>'
        f'<text x="{left + MARGIN}" y="14" {font}>{escape(verdict)}</text></svg>\n'
    )


def eval_results(done: Reproduction) -> str:
    """The figures that were obtained, in the format of a model repository's .eval_results folder.

    A list of entries with dataset.id, dataset.task_id, value, date, source and notes
    (https://huggingface.co/docs/hub/eval-results).
    """
    entries = [_entry(done, o) for o in done.outcomes if o.ours is not None]
    return "".join(line for entry in entries for line in entry)


def _entry(done: Reproduction, outcome: Outcome) -> Iterator[str]:
    published = "" if outcome.published is None else f", published {outcome.published:g}"
    notes = f"{outcome.says}: {outcome.verdict}{published}. {done.source}"
    yield "- dataset:\n"
    yield f"    id: {_quoted(done.hub)}\n"
    yield f"    task_id: {_quoted(done.claim)}\n"
    yield f"  value: {outcome.ours!r}\n"
    yield f"  date: {_quoted(done.date)}\n"
    yield f"  notes: {_quoted(notes)}\n"


def _quoted(text: str) -> str:
    """A text as JSON, which YAML reads; but of its pairs of surrogates it makes two characters."""
    return f'"{"".join(c if ord(c) > 0xFFFF else json.dumps(c)[1:-1] for c in text)}"'
