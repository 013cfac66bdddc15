"""From a claim to its verdict: train or measure, collect the evidence, judge."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import to_builtins
from msgspec.structs import replace

from vaebench import results
from vaebench.config import digest, value_at
from vaebench.config.study import Study, expand
from vaebench.core.errors import InputError
from vaebench.diagnostics.gradients import measure, plan, read_configs
from vaebench.reproduction.claim import Claim, Gradients, ScaleName
from vaebench.reproduction.evidence import Evidence, GradientRow
from vaebench.reproduction.expected import expectations
from vaebench.reproduction.rule import Outcome, Verdict
from vaebench.reproduction.spent import accounted, spent
from vaebench.reproduction.statements import Kind, judge
from vaebench.reproduction.verdict import Reproduction, overall
from vaebench.results import Record
from vaebench.running.environment import default_device, describe
from vaebench.running.harness import run_all
from vaebench.running.meter import Progress, silent


def reproduce(
    claim: Claim,
    scale: ScaleName,
    out: Path,
    *,
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
    study, measured = claim.study_at(scale), claim.scale(scale).gradients
    with accounted(out):
        if measured is None:
            how = {"executor": executor, "workers": workers, "progress": progress}
            evidence = Evidence(records=_trained(study, out, **how))
        else:
            evidence = Evidence(gradients=_measured(study, measured, out, progress))
    return _concluded(claim, scale, [judge(s, evidence) for s in statements], evidence, out)


def _trained(study: Study, out: Path, **how: Any) -> list[Record]:
    """The records of the study's runs, those that ended badly too."""
    configs = expand(study)
    run_all(configs, out, study.name, timings=False, **how)
    by_id = {record.run: record for record in results.records(out)}
    return [by_id[config.id] for config in configs]


def _measured(
    study: Study, wanted: Gradients, out: Path, progress: Progress
) -> Mapping[int, Sequence[GradientRow]]:
    """The gradients' figures by seed, each kept in a file of its plan as soon as it is there."""
    results.writable(out)
    return {seed: _of_seed(study, wanted, seed, out, progress) for seed in wanted.seeds}


def _of_seed(
    study: Study, wanted: Gradients, seed: int, out: Path, progress: Progress
) -> list[dict[str, Any]]:
    seeded = replace(study, base={**study.base, "seed": seed})
    configs = read_configs(seeded, list(wanted.samples))
    planned = plan(study.name, configs, wanted.samples, wanted.replicas, wanted.at)
    path = out / f"gradients-{digest(to_builtins(planned))}.json"
    if path.is_file():
        return _kept_rows(path)
    with progress(f"measuring gradients of seed {seed}", planned.num_cells) as meter:
        rows = measure(planned, meter.on_steps)
    results.write_atomically(path, json.dumps(rows, indent=1).encode())
    return rows


def _kept_rows(path: Path) -> list[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = json.loads(path.read_bytes())
    except ValueError as error:
        raise InputError(
            f"{path} must hold figures of gradients; it is damaged: delete it, and they are "
            f"measured again"
        ) from error
    return rows


NO_EVIDENCE = Evidence()


def _lacking(statement: Kind, lacks: str) -> Outcome:
    return Outcome(
        says=statement.says,
        verdict=Verdict.NOT_COMPARABLE,
        reason=f"the suite lacks {lacks}",
        published=getattr(statement, "published", None),
    )


HUB = {"mnist": "ylecun/mnist"}
"""Data sets by the names that the hub of Hugging Face has for them."""


def _on_the_hub(claim: Claim, scale: ScaleName) -> str:
    """The hub's name for the data of a claim; "" where it has none."""
    return HUB.get(str(value_at(claim.study_at(scale).base, "data.name")), "")


def _concluded(
    claim: Claim,
    scale: ScaleName,
    outcomes: Sequence[Outcome],
    evidence: Evidence = NO_EVIDENCE,
    out: Path | None = None,
) -> Reproduction:
    took = {} if out is None else spent(out)
    return Reproduction(
        claim=claim.name,
        title=claim.title,
        scale=scale,
        verdict=overall(outcomes),
        outcomes=tuple(outcomes),
        expectations=expectations(outcomes, claim.scale(scale).expected),
        source=claim.source,
        differs=claim.differs,
        hub=_on_the_hub(claim, scale),
        runs=tuple(record.run for record in evidence.records),
        wall_s=took.get("wall_s", 0.0),
        processor_s=took.get("processor_s", 0.0),
        environment=describe(str(default_device())),
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
    )
