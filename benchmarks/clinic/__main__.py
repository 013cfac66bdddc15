"""Whether the clinic names what is wrong, and nothing else: `nox -s clinic` calls this.

Twelve kinds of spoiled runs, of which it has to name what each was spoiled by; and 100 runs that
nothing is wrong with, of which it may complain about one. The rules' thresholds were set by the
first seed of the spoiled runs and by the healthy ones; the second seed has had no part in that.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

import vaebench as vb
from benchmarks.clinic.faults import faults
from vaebench import results
from vaebench.config.resolve import resolve
from vaebench.report.clinic import Case, explain

HEALTHY = Path(__file__).with_name("healthy.toml")
SEEDS = (0, 1)
LEAST_NAMED, MOST_FALSE = 11, 1
"""How many of twelve faults must be named, and how many healthy runs may be."""


def main() -> None:
    """Run what is not recorded yet, and write what the clinic says of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("results/runs/clinic"))
    parser.add_argument("--out", type=Path, default=Path("results/reference/clinic"))
    options = parser.parse_args()
    spoiled = of_faults(options.runs / "faults")
    healthy = of_healthy(options.runs / "healthy")
    results.writable(options.out)
    for name, table in (("faults", spoiled), ("healthy", healthy)):
        content = table.to_csv(index=False).encode()
        results.write_atomically(options.out / f"{name}.csv", content)
    named, alarms = spoiled.groupby("seed")["named"].sum(), int((healthy["complaints"] != "").sum())
    print(
        f"faults named, by seed: {named.to_dict()}; {alarms} of {len(healthy)} healthy runs doubted"
    )
    if named.min() < LEAST_NAMED or alarms > MOST_FALSE:
        sys.exit(1)


def of_faults(out: Path) -> pd.DataFrame:
    """What the clinic says of each spoiled run, a line each."""
    every = faults(out / "data")
    cases = [(fault, seed) for seed in SEEDS for fault in every]
    runs = resolve([fault.config(seed) for fault, seed in cases])
    vb.run(runs, out=out, timings=False)
    lines = []
    for (fault, seed), config in zip(cases, runs, strict=True):
        findings = names_of(out, results.read(out, config.id))
        lines.append(
            {
                "fault": fault.what,
                "seed": seed,
                "to name": fault.name,
                "named": fault.name in findings,
                "all that is named": "; ".join(findings),
            }
        )
    return pd.DataFrame(lines)


def of_healthy(out: Path) -> pd.DataFrame:
    """What the clinic says of each healthy run, a line each."""
    vb.run(HEALTHY, out=out, timings=False)
    return pd.DataFrame(
        [
            {
                "variant": record.labels.variant,
                "seed": record.labels.seed,
                "complaints": "; ".join(names_of(out, record)),
            }
            for record in sorted(
                results.records(out), key=lambda one: (one.labels.variant, one.labels.seed or 0)
            )
        ]
    )


def names_of(out: Path, record: results.Record) -> list[str]:
    """What the clinic calls what is wrong with a run."""
    return [finding.name for finding in explain(Case(record, results.examples(out, record.run)))]


if __name__ == "__main__":
    main()
