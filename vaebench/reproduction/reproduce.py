"""From a claim to its verdict: train or measure, collect the evidence, judge."""

from __future__ import annotations

import datetime
import json
import resource
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from vaebench import results
from vaebench.config import RunConfig
from vaebench.config.study import Study, expand
from vaebench.diagnostics.gradients import measure, plan, read_configs
from vaebench.reproduction.claim import Claim, Gradients, ScaleName
from vaebench.reproduction.evidence import Evidence, GradientRow
from vaebench.reproduction.statements import Kind, Outcome, Verdict, judge
from vaebench.reproduction.verdict import Reproduction, overall
from vaebench.running.environment import default_device, describe
from vaebench.running.harness import run_all
from vaebench.running.meter import Progress, silent


def reproduce(
    claim: Claim,
    scale: ScaleName,
    out: Path,
    *,
    seeds: Sequence[int] = (),
    executor: str = "local",
    workers: int | None = None,
    progress: Progress = silent,
) -> Reproduction:
    """Train what the claim needs and judge it; what `out` holds already is not trained again.

    Raises InputError for data that cannot be had, and a scale that the claim does not have.
    """
    statements = claim.scale(scale).statements
    if claim.lacks:
        return _concluded(claim, scale, [_lacking(s, claim.lacks) for s in statements])
    study, measured = claim.study_at(scale, seeds), claim.scale(scale).gradients
    configs: list[RunConfig] = []
    if measured is None:
        configs = expand(study)
        with _accounted(out):
            run_all(
                configs,
                out,
                study.name,
                executor=executor,
                workers=workers,
                timings=False,
                progress=progress,
            )
        ids = [config.id for config in configs]
        by_id = {record.run: record for record in results.records(out)}
        evidence = Evidence(records=[by_id[run] for run in ids])
    else:
        ids = []
        with _accounted(out):
            evidence = Evidence(gradients=_measured(study, measured, out, progress))
    return _concluded(claim, scale, [judge(s, evidence) for s in statements], ids, out)


def _measured(
    study: Study, wanted: Gradients, out: Path, progress: Progress
) -> Mapping[int, Sequence[GradientRow]]:
    """The gradients' figures by seed, each kept in a file as soon as it is there."""
    results.writable(out)
    return {seed: _of_seed(study, wanted, seed, out, progress) for seed in wanted.seeds}


def _of_seed(
    study: Study, wanted: Gradients, seed: int, out: Path, progress: Progress
) -> list[dict[str, Any]]:
    path = out / f"gradients-{seed}.json"
    if path.is_file():
        rows: list[dict[str, Any]] = json.loads(path.read_text())
        return rows
    seeded = replace(study, base={**study.base, "seed": seed})
    configs = read_configs(seeded, list(wanted.samples))
    planned = plan(study.name, configs, wanted.samples, wanted.replicas, wanted.at)
    with progress(f"measuring gradients of seed {seed}", planned.num_cells) as meter:
        rows = measure(planned, meter.on_steps)
    results.write_atomically(path, json.dumps(rows, indent=1).encode())
    return rows


def _lacking(statement: Kind, lacks: str) -> Outcome:
    return Outcome(
        says=statement.says,
        verdict=Verdict.NOT_COMPARABLE,
        reason=lacks,
        published=getattr(statement, "published", None),
    )


def _concluded(
    claim: Claim,
    scale: str,
    outcomes: Sequence[Outcome],
    runs: Sequence[str] = (),
    out: Path | None = None,
) -> Reproduction:
    spent = {} if out is None else _spent(out)
    return Reproduction(
        claim=claim.name,
        title=claim.title,
        scale=scale,
        verdict=overall(outcomes),
        outcomes=tuple(outcomes),
        source=claim.source,
        differs=claim.differs,
        hub=claim.hub,
        runs=tuple(runs),
        wall_s=spent.get("wall_s", 0.0),
        processor_s=spent.get("processor_s", 0.0),
        environment=describe(str(default_device())),
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
    )


# ------------------------------------------------------------------ what it took


def _spent(out: Path) -> dict[str, float]:
    """Seconds of all calls so far."""
    path = out / "spent.json"
    return json.loads(path.read_text()) if path.is_file() else {}


@contextmanager
def _accounted(out: Path) -> Iterator[None]:
    """Add the seconds of this call to those of the calls before it, interrupted or not."""
    started, processors = time.monotonic(), _processor_s()
    try:
        yield
    finally:
        if out.is_dir():
            before = _spent(out)
            spent = {
                "wall_s": before.get("wall_s", 0.0) + time.monotonic() - started,
                "processor_s": before.get("processor_s", 0.0) + _processor_s() - processors,
            }
            results.write_atomically(out / "spent.json", json.dumps(spent).encode())


def _processor_s() -> float:
    """Seconds of processors that this process and its ended children have had."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
