"""Kills commands at random, lets their surroundings fail them, and writes what came of it.

`nox -s faults` runs it. It goes on where it was stopped: what is done is in `series.jsonl` and
`findings.jsonl` of the working folder. The seed of a series is its number.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.faults.series import aims, series
from benchmarks.faults.surroundings import FAULTS, Bench
from benchmarks.faults.works import WORKS, reference

KILLS = {"study": 84, "sweep": 72, "evaluation": 36, "report": 24}
"""How often each command is killed, at the least, over all of its victims."""
MOST_KILLS = 5
"""Kills of a series."""
OF_SERIES = ("work", "victim")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("results/runs/faults"))
    parser.add_argument("--out", type=Path, default=Path("results/reference/faults"))
    parser.add_argument("--minutes", type=float, default=1e6, help="Begin nothing after so many.")
    parser.add_argument(
        "--only", choices=[*KILLS, "surroundings"], nargs="+", default=[*KILLS, "surroundings"]
    )
    arguments = parser.parse_args()
    until = time.monotonic() + 60 * arguments.minutes
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    for name in arguments.only:
        if name == "surroundings":
            surround(work, until)
        else:
            kill(work, name, until)
    arguments.out.mkdir(parents=True, exist_ok=True)
    kills, findings = kills_table(_lines(work, "series")), pd.DataFrame(_lines(work, "findings"))
    kills.to_csv(arguments.out / "kills.csv", index=False)
    findings.to_csv(arguments.out / "surroundings.csv", index=False)
    print(kills.to_string(index=False), findings.to_string(index=False), sep="\n\n")
    sys.exit(0 if is_well(kills, findings) else 1)


def kill(folder: Path, name: str, until: float) -> None:
    """Do the series of a command that are left, until that time."""
    work, references = WORKS[name], folder / "references"
    for needed in filter(None, (work.needs, name)):
        place = reference(WORKS[needed], references)
    done = [line for line in _lines(folder, "series") if line["work"] == name]
    kills: Counter[str] = Counter()
    for line in done:
        kills[line["victim"]] += line["kills"]
    seeds = Counter(line["victim"] for line in done)
    each = aims(work, place)
    for aim in each:
        while kills[aim.victim] < KILLS[name] / len(each) and time.monotonic() < until:
            seed = seeds[aim.victim]
            at = folder / f"{name}-{aim.victim}-{seed}"
            figures = series(work, [aim] * MOST_KILLS, references, at, seed)
            kills[aim.victim] += figures.kills
            seeds[aim.victim] += 1
            _add(folder, "series", [asdict(figures)])


def surround(folder: Path, until: float) -> None:
    """Try the faults of surroundings that are left, until that time."""
    for work in WORKS.values():
        reference(work, folder / "references")
    done = {line["of"] for line in _lines(folder, "findings")}
    for fault in FAULTS:
        if fault.__name__ not in done and time.monotonic() < until:
            bench = Bench(folder / fault.__name__, folder / "references")
            _add(folder, "findings", [{"of": fault.__name__, **asdict(f)} for f in fault(bench)])


def kills_table(lines: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """The series summed up, by command and victim, and in all."""
    rows = pd.DataFrame(lines, columns=None if lines else [*OF_SERIES, "kills"])
    rows.insert(2, "series", 1)
    summed = rows.groupby([*OF_SERIES]).sum().reset_index()
    total = {"work": "all", "victim": "", **summed.drop(columns=[*OF_SERIES]).sum().to_dict()}
    return pd.concat([summed, pd.DataFrame([total])], ignore_index=True)


def is_well(kills: pd.DataFrame, findings: pd.DataFrame) -> bool:
    """Whether nothing was found that is not as it must be."""
    faults = kills.drop(columns=[*OF_SERIES, "series", "kills"])
    return not faults.to_numpy().any() and (findings.empty or bool(findings["held"].all()))


def _lines(folder: Path, name: str) -> list[dict[str, Any]]:
    path = folder / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _add(folder: Path, name: str, lines: Sequence[dict[str, Any]]) -> None:
    """Write lines at once, and print them."""
    text = "".join(json.dumps(line) + "\n" for line in lines)
    print(text, end="", flush=True)
    with (folder / f"{name}.jsonl").open("a") as file:
        file.write(text)


if __name__ == "__main__":
    main()
