"""The differences of two folders in sentences, and by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vaebench.report.diff.differences import Differences
from vaebench.report.diff.step_times import StepTime
from vaebench.report.sentences import notes, sentence
from vaebench.report.spaces import titled
from vaebench.report.standings import mappings
from vaebench.report.verdicts import Verdict


def in_words(differences: Differences) -> list[str]:
    """Say what is on one side alone or was made otherwise, then how each variant differs, what the
    step times are, what the verdicts rest on, and at last how many lines are worse."""
    sides = {"before": differences.before, "after": differences.after}
    table = titled(differences.table, differences.titles)
    lines = [_with_sides(line, **sides) for line in mappings(table)]
    return [
        *differences.notes,
        *(_line(line) for line in lines),
        *(_step_time(time, differences.titles) for time in differences.step_times),
        *notes(lines),
        _sum(lines),
    ]


def parts(differences: Differences) -> dict[str, Any]:
    """The same by name, with all figures."""
    return {
        "before": differences.before,
        "after": differences.after,
        "comparisons": mappings(differences.table),
        "step_times": list(differences.step_times),
        "notes": list(differences.notes),
    }


def _with_sides(line: dict[str, Any], before: str, after: str) -> dict[str, Any]:
    """A line as one of `comparisons`, whose `worse` is what `better` is taken from."""
    sides = {"worse": f"{line['variant']} in {after}", "better": f"{line['variant']} in {before}"}
    return line | sides


def _line(line: dict[str, Any]) -> str:
    worse = "WORSE: " if line["is_worse"] else ""
    return f"{line['observation_space']}: {worse}{sentence(line)}"


def _step_time(time: StepTime, titles: Mapping[str, str]) -> str:
    unlike = f"; {time.unlike}" if time.unlike else ""
    who = f"{titles[time.observation_space]}: {time.variant}"
    return (
        f"{who}: a step takes {time.ratio:.3g} times as long "
        f"({time.before:.3g} ms before, {time.after:.3g} ms after{unlike})"
    )


def _sum(lines: list[dict[str, Any]]) -> str:
    worse = sum(bool(line["is_worse"]) for line in lines)
    unseen = sum(line["verdict"] == Verdict.NOT_COMPARED for line in lines)
    rest = f", {unseen} not compared" if unseen else ""
    return f"{worse or 'none'} of {len(lines)} comparisons worse{rest}"
