"""Records what the suite itself gives for claims at the scale `cpu`: `nox -s expectations`.

By other seeds than those that claims are judged by, so that no verdict holds a run against itself.
`python -m benchmarks.reproduction.expectations [NAME ...]`: of some claims alone; the others keep
what is recorded.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vaebench.core.errors import InputError
from vaebench.reproduction import Claim, Outcome, Scale, names, read_claim, reproduce
from vaebench.reproduction.claim import EXPECTED, expectations, is_expected

FIRST_SEED = 100
"""From it on, there are as many as the claim has."""
FOLDER = Path("results/runs/expectations")
HEAD = "# Made by `nox -s expectations`: means over seeds, with their standard errors.\n"
Figures = Mapping[str, Mapping[str, Any]]
"""By sentence: value, spread and seeds."""


def main(chosen: Sequence[str]) -> None:
    """Train the claims that are chosen, or all, and write their figures."""
    recorded: dict[str, Figures] = dict(expectations())
    for claim in map(read_claim, chosen or names()):
        if claim.cpu is not None and recording(claim.cpu):
            folder = FOLDER / claim.name
            tried = reproduce(claim, "cpu", folder, seeds=other_seeds(claim), workers=1)
            wanted = recording(claim.cpu)
            recorded[claim.name] = figures([o for o in tried.outcomes if o.says in wanted])
            EXPECTED.write_text(as_toml(recorded))


def other_seeds(claim: Claim) -> range:
    """Seeds that are none of the claim's, as many as it has."""
    seeds = claim.study_at("cpu").axes["seed"]
    if max(seeds) >= FIRST_SEED:
        raise InputError(f"seeds of a claim must be below {FIRST_SEED}; {claim.name} has {seeds}")
    return range(FIRST_SEED, FIRST_SEED + len(seeds))


def recording(scale: Scale) -> set[str]:
    """The sentences of the statements whose figure is the suite's own."""
    return {statement.says for statement in scale.statements if is_expected(statement)}


def figures(outcomes: Sequence[Outcome]) -> Figures:
    """The mean over seeds of each statement, and its standard error.

    Raises InputError for a statement without figures, whose runs did not end well.
    """
    if lost := next((o for o in outcomes if len(o.values) < 2), None):
        raise InputError(f"an expectation needs the figures of its runs; {lost.reason}: run again")
    return {
        outcome.says: {
            "value": float(v.mean()),
            "spread": float(v.std(ddof=1) / len(v) ** 0.5),
            "seeds": [int(seed) for seed in outcome.values],
        }
        for outcome, v in ((o, np.array(list(o.values.values()))) for o in outcomes)
    }


def as_toml(recorded: Mapping[str, Figures]) -> str:
    """The figures as TOML, a table for each claim. A text of JSON is one of TOML."""
    lines = [HEAD]
    for name, of_claim in sorted(recorded.items()):
        lines += [f"\n[{name}]\n"]
        lines += [
            f"{json.dumps(says)} = {{ {', '.join(f'{k} = {v!r}' for k, v in f.items())} }}\n"
            for says, f in of_claim.items()
        ]
    return "".join(lines)


if __name__ == "__main__":
    main(sys.argv[1:])
