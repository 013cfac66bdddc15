"""What workers do with the runs of a trial once they have trained them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import torch
from msgspec.structs import replace

from vaebench import results
from vaebench.config import RunConfig
from vaebench.config.build import subject
from vaebench.data import Dataset
from vaebench.evaluation import evaluate
from vaebench.evaluation.grading import with_own_streams
from vaebench.evaluation.likelihood.held_out import on_validation
from vaebench.models import select
from vaebench.results import Metric
from vaebench.running.events import FileOf, OfJob
from vaebench.running.grading import lost
from vaebench.running.job import Job
from vaebench.running.recording import history_of, recorded
from vaebench.training.loop import Trained

IN_ITS_PLACE = "the validation part in the place of the test part: "
"""How the protocol of a metric begins that is defined on the test part."""


def pausing(
    job: Job, trained: Trained, kept: Sequence[int], configs: Sequence[RunConfig], dataset: Dataset
) -> Iterator[OfJob]:
    """Keep of each run what it goes on from; its curve so far is its record."""
    for run in kept:
        config, content = job.configs[run], trained.checkpoints[run].to_bytes()
        yield FileOf(config.id, "weights", content)
        weights = results.digest(content)
        yield recorded(job, config, "done", weights=weights, **history_of(job, trained, run))


@torch.no_grad()
def judged(
    job: Job,
    trained: Trained,
    kept: Sequence[int],
    configs: Sequence[RunConfig],
    dataset: Dataset,
    *,
    graded: Mapping[str, str],
) -> Iterator[OfJob]:
    """Grade each run on the validation part alone, and record it.

    Bounds are those of a grading in full. `graded`: the metrics that are asked for beside, each
    with its grading, which sees the validation part in the place of the test part. No weights are
    kept.
    """
    model, left = select(trained.model, kept), [configs[run] for run in kept]
    whole = subject(model, dataset, left)
    bounds = on_validation(with_own_streams(whole, "likelihood"))
    others = subject(model, dataclasses.replace(dataset, test=dataset.valid), left)
    asked = {name: left[0].evaluate.wanted[name] for name in sorted(set(graded.values()))}
    grades = [g for g in evaluate(others, asked).grades if g.name in graded] if asked else []
    for position, run in enumerate(kept):
        metrics = [
            *results.metrics(bounds, position),
            *map(_of_validation, results.metrics(grades, position)),
        ]
        reason = lost(metrics)
        status: results.Status = "diverged" if reason else "done"
        shown = [] if reason else metrics
        history = history_of(job, trained, run)
        yield recorded(job, job.configs[run], status, reason=reason, metrics=shown, **history)


def _of_validation(metric: Metric) -> Metric:
    """A metric of the part that stood in the place of the test part, by its name there."""
    return replace(
        metric, metric=f"valid_{metric.metric}", protocol=f"{IN_ITS_PLACE}{metric.protocol}"
    )
