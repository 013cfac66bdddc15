"""Tries claims, keeps their verdicts, and writes the page of all: `nox -s reproduce`.

`python -m benchmarks.reproduction [NAME[=full] ...]`: some claims alone, at the scale `cpu` unless
told otherwise; by default all that have it. The others keep the verdicts that they have.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from benchmarks.reproduction.page import KEPT, write
from vaebench.cli.progress import progress_bar
from vaebench.reproduction import names, read_claim, reproduce
from vaebench.reproduction.claim import ScaleName
from vaebench.reproduction.files import write_files

RUNS = Path("results/runs/reproduction")


def main(chosen: Sequence[str]) -> None:
    """Try the claims that are chosen."""
    for word in chosen or [n for n in names() if read_claim(n).cpu is not None]:
        name, _, scale = word.partition("=")
        folder = f"{name}-{scale or 'cpu'}"
        done = reproduce(
            read_claim(name),
            cast(ScaleName, scale or "cpu"),
            RUNS / folder,
            workers=1,
            progress=progress_bar,
        )
        write_files(KEPT / folder, done)
    write()


if __name__ == "__main__":
    main(sys.argv[1:])
