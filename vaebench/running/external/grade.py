"""Grades a model trained elsewhere, and records it beside the runs of a study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch.distributions import Distribution as TorchDistribution

from vaebench import ops, results
from vaebench.config import Choice, DataConfig
from vaebench.config.build import subject_by
from vaebench.core.arguments import path
from vaebench.core.errors import InputError, near_match
from vaebench.evaluation import Subject, budget, check
from vaebench.evaluation import evaluate as evaluate_subject
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.models.priors import PRIORS, BoundPrior
from vaebench.ops.noise import Noise, key
from vaebench.results import Record
from vaebench.running.environment import describe
from vaebench.running.external.doubts import doubts_of, marked
from vaebench.running.external.entrant import Entered, Entrant, enter
from vaebench.running.external.model import Decode, Encode, external_model
from vaebench.running.external.prior import from_torch
from vaebench.running.grading import files, lost
from vaebench.running.meter import Progress, silent

if TYPE_CHECKING:
    import pandas as pd


def evaluate(
    encode: Encode,
    decode: Decode,
    likelihood: str | Mapping[str, Any],
    data: str | Path | Mapping[str, Any] | DataConfig,
    prior: str | Mapping[str, Any] | TorchDistribution = "standard_normal",
    *,
    out: str | Path | None = None,
    **more: Any,
) -> pd.DataFrame:
    """Grade a model trained elsewhere: its rows, as `vb.run` gives them.

    `encode` takes, and `decode` returns, images as rows of P pixels: the axes that are stored,
    [H, W, C] or [C, H, W] or others, flattened row-major, the last one fastest.
    Arguments and further ones (name, seed, evaluate, device) are the fields of `Entrant`. With
    `out`, the model is recorded there beside the runs of a study, to be compared with them.
    Raises InputError for what cannot be graded, which `out` also gets a record of.
    """
    names = [field.name for field in fields(Entrant)]
    if unknown := more.keys() - names:
        raise InputError(f"unknown argument {min(unknown)!r}; {near_match(min(unknown), names)}")
    entrant = Entrant(encode, decode, likelihood, data, prior, **more)
    return results.frame([grade(entrant, None if out is None else path("out", out))])


def grade(entrant: Entrant, out: Path | None = None, progress: Progress = silent) -> Record:
    """Evaluate an entrant, and record it in the folder `out`, where one is named.

    Raises InputError for a model that cannot be graded.
    """
    entered = enter(entrant)
    if out is not None:
        results.prepare(out)
    mark = "refused"
    try:
        ops.forget_paths()
        graded, mark = subject(entered)
        check(graded, entered.settings.wanted)
        with progress(f"grading {entrant.name}", 0):
            evaluation = evaluate_subject(graded, entered.settings.wanted)
        doubt = doubts_of(graded)
        metrics = results.metrics([marked(grade, doubt) for grade in evaluation.grades], 0)
        if reason := lost(metrics):
            raise InputError(f"the figures of {entrant.name!r} must be finite; {reason}")
    except InputError as error:
        if out is not None:
            results.write(out, _record(entered, mark, "failed", reason=str(error)))
        raise
    record = _record(entered, mark, "done", metrics=metrics)
    if out is not None:
        for file in files(record.run, evaluation, 0, entered.dataset):
            results.write_part(out, file.part, file.run, file.content)
        results.write(out, record)
    return record


def estimate_seconds(entrant: Entrant) -> dict[str, float]:
    """How many seconds each grading of an entrant will take, by name. Raises InputError."""
    entered = enter(entrant)
    return budget(subject(entered)[0], entered.settings.wanted)


def subject(entered: Entered) -> tuple[Subject, str]:
    """The entrant as gradings see it, and a mark of its model.

    Raises InputError for a model that cannot be graded.
    """
    entrant = entered.entrant
    model, mark = external_model(
        entrant.encode,
        entrant.decode,
        LIKELIHOODS[entered.likelihood.name],
        _numbers(entered.likelihood),
        _bound(entered.prior),
        entered.dataset,
        entrant.device,
    )
    noise = Noise((key(entrant.seed, "evaluate"),))
    return subject_by(entered.settings, model, entered.dataset, noise), mark


def _bound(prior: Choice | TorchDistribution) -> BoundPrior:
    if isinstance(prior, TorchDistribution):
        return from_torch(prior)
    entry = PRIORS[prior.name]
    if entry.learned or entry.layered or entry.discrete:
        raise InputError(
            f"prior {prior.name!r} is trained or discrete, which a model from elsewhere cannot "
            f"hand over by name: give a torch.distributions object over z"
        )
    return BoundPrior(entry, _numbers(prior))


def _record(entered: Entered, mark: str, status: results.Status, **contents: Any) -> Record:
    return Record(
        run=entered.id(mark),
        study=entered.entrant.name,
        labels=entered.labels,
        status=status,
        environment=describe(entered.entrant.device),
        operations=ops.paths(),
        **contents,
    )


def _numbers(choice: Choice) -> dict[str, Any]:
    return dict(choice.hyper)
