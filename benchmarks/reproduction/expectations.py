"""Records what claims gave at the scale `cpu`, as their verdicts are kept: `nox -s expectations`.

`python -m benchmarks.reproduction.expectations [NAME ...]`: of these claims anew; by default of
those that have none. Nothing is trained. Each claim has a file of its own, written whole, so that
two processes keep each other's.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import tomli_w

from benchmarks.reproduction.page import KEPT, verdicts, write
from vaebench import results
from vaebench.core.errors import InputError
from vaebench.reproduction import Reproduction
from vaebench.reproduction.claim import EXPECTED

HEAD = "# What each statement gave, by seed: made by `nox -s expectations` of {verdict}.\n\n"


def main(chosen: Sequence[str]) -> None:
    """Record the claims that are chosen, and write what is made of them again."""
    kept = {done.claim: done for done in verdicts() if done.scale == "cpu"}
    if unknown := [name for name in chosen if name not in kept]:
        raise InputError(f"a claim must have a verdict first: nox -s reproduce -- {unknown[0]}")
    for name in chosen or [name for name in kept if not file_of(name).is_file()]:
        record(kept[name])
    write()


def record(done: Reproduction, folder: Path = EXPECTED) -> None:
    """Write what the statements of a verdict gave."""
    verdict = (KEPT / f"{done.claim}-cpu" / "verdict.json").relative_to(KEPT.parents[2])
    text = HEAD.format(verdict=verdict) + tomli_w.dumps(figures(done))
    folder.mkdir(exist_ok=True)
    results.write_atomically(file_of(done.claim, folder), text.encode())


def figures(done: Reproduction) -> Mapping[str, Mapping[str, float]]:
    """The figures of each statement, by seed.

    Raises InputError for a statement without them, whose runs did not end well.
    """
    if lost := next((o for o in done.outcomes if len(o.values) < 2), None):
        raise InputError(f"an expectation needs the figures of its runs; {lost.reason}: run again")
    return {outcome.says: outcome.values for outcome in done.outcomes}


def file_of(name: str, folder: Path = EXPECTED) -> Path:
    """Where the figures of a claim are."""
    return folder / f"{name}.toml"


if __name__ == "__main__":
    main(sys.argv[1:])
