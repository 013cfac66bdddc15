"""Grades the runs of a trained stack, and makes the files that lie beside their records."""

from __future__ import annotations

import math
import traceback
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from numpy.typing import NDArray
from torch import Tensor

from vaebench import results
from vaebench.config import RunConfig
from vaebench.config.build import subject
from vaebench.data import Dataset
from vaebench.evaluation import Evaluation, evaluate
from vaebench.evaluation.exhibits import Form
from vaebench.evaluation.images import grid_png, pictures_of, shades
from vaebench.models import VAE, select, weights
from vaebench.results import Metric
from vaebench.running.events import FileOf, OfJob
from vaebench.running.job import Job
from vaebench.running.recording import history_of, recorded
from vaebench.training.loop import Trained


def graded_in_full(
    job: Job, trained: Trained, kept: Sequence[int], configs: Sequence[RunConfig], dataset: Dataset
) -> Iterator[OfJob]:
    """The weights of the runs that did not diverge, then their grades.

    In this order, as a grading that crashes must not cost the training.
    """
    model = select(trained.model, kept)
    digests = {}
    for position, i in enumerate(kept):
        content = weights(model, position)
        digests[i] = results.digest(content)
        yield FileOf(job.configs[i].id, "weights", content)
    each = _evaluated(model, dataset, [configs[i] for i in kept])
    for i, (evaluation, position, failure) in zip(kept, each, strict=True):
        config = job.configs[i]
        history = history_of(job, trained, i)
        if evaluation is None:
            yield recorded(job, config, "failed", reason=failure, **history)
            continue
        metrics = results.metrics(evaluation.grades, position)
        if reason := lost(metrics):
            yield recorded(job, config, "diverged", reason=reason, **history)
            continue
        yield from files(config.id, evaluation, position, dataset)
        yield recorded(job, config, "done", metrics=metrics, weights=digests[i], **history)


def _evaluated(
    model: VAE, dataset: Dataset, configs: Sequence[RunConfig]
) -> Iterator[tuple[Evaluation | None, int, str]]:
    """For each run its evaluation and its position in that, or why it has none.

    Where a stack raises, each run is graded alone, so that only the culprit fails.
    """
    try:
        evaluation = evaluate(subject(model, dataset, configs), configs[0].evaluate.wanted)
    except Exception:
        if len(configs) == 1:
            yield None, 0, traceback.format_exc(limit=-1, chain=False)
        else:
            for i, config in enumerate(configs):
                yield from _evaluated(select(model, [i]), dataset, [config])
        return
    for i in range(len(configs)):
        yield evaluation, i, ""


def lost(metrics: Sequence[Metric]) -> str:
    """Which metrics of a run are not finite, in words; "" where all are."""
    names = [m.metric for m in metrics if not math.isfinite(m.value or 0.0)]
    return f"not finite on held-out data: {', '.join(names)}" if names else ""


def files(run: str, evaluation: Evaluation, position: int, dataset: Dataset) -> Iterator[FileOf]:
    """What lies beside a run's record: what there is to look at, and single examples' values."""
    yield from pictures(run, evaluation, position, dataset)
    examples = results.parts(evaluation.grades, position)
    yield FileOf(run, "examples", results.pack_examples(examples))


def pictures(run: str, evaluation: Evaluation, position: int, dataset: Dataset) -> Iterator[FileOf]:
    """What there is to look at of a run: a sheet of drawn images, if any, and the exhibits."""
    if dataset.pictured:
        png = grid_png(evaluation.images[position], dataset.image_shape, dataset.greys)
        yield FileOf(run, "samples", png)
    yield FileOf(run, "exhibits", results.pack_exhibits(exhibits(evaluation, position, dataset)))


def exhibits(evaluation: Evaluation, position: int, dataset: Dataset) -> list[results.Exhibit]:
    """What of one run of a graded stack is kept to look at, as it will be drawn."""
    return [
        results.Exhibit(
            results.About(
                name=shown.entry.name,
                caption=shown.entry.caption,
                form=_form(shown.entry.form, dataset),
                row_names=shown.entry.row_names,
            ),
            _drawn(shown.x[position], shown.entry.form, dataset),
        )
        for shown in evaluation.shown
    ]


def _form(form: Form, dataset: Dataset) -> Literal["images", "lines", "columns"]:
    if form == "columns":
        return form
    return "images" if dataset.pictured else "lines"


def _drawn(x: Tensor, form: Form, dataset: Dataset) -> NDArray[Any]:
    """Images as pictures in bytes [rows, columns, height, width, 1 or 3], numbers as they are."""
    if form == "columns" or not dataset.pictured:
        return x.numpy()
    images = shades(x.flatten(0, 1), dataset.greys)
    pictures = pictures_of(images.reshape(-1, *dataset.image_shape))
    return pictures.reshape(*x.shape[:2], *pictures.shape[1:])
