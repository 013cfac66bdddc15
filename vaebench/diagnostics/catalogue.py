"""What is registered, as plain tables: for `vaebench list` and the documentation."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from vaebench.config.schedules import SCHEDULES
from vaebench.core.hyper import Setting
from vaebench.core.shown import markdown as as_markdown
from vaebench.data.lookup import NAMES
from vaebench.evaluation import GRADINGS
from vaebench.evaluation.exhibits import EXHIBITS
from vaebench.models import MODELS
from vaebench.models.likelihoods import LIKELIHOODS, Likelihood
from vaebench.models.posteriors import POSTERIORS, Posterior
from vaebench.models.priors import PRIORS, Prior
from vaebench.objectives import OBJECTIVES, Objective
from vaebench.objectives.entry import Need
from vaebench.running.executors import EXECUTORS
from vaebench.running.listeners import LISTENERS

Table = list[dict[str, str]]


def catalogue() -> dict[str, Table]:
    """A table for each kind of entry, with a row per entry."""
    return {
        "objectives": [_objective(entry) for entry in OBJECTIVES.values()],
        "likelihoods": [_likelihood(entry) for entry in LIKELIHOODS.values()],
        "posteriors": [_posterior(entry) for entry in POSTERIORS.values()],
        "priors": [_prior(entry) for entry in PRIORS.values()],
        "gradings": [
            {"name": name, "hyperparameters": _hypers(entry.hyper), **_origin(entry, entry.grade)}
            for name, entry in GRADINGS.items()
        ],
        "exhibits": [
            {"name": name, **_origin(entry, entry.show)} for name, entry in EXHIBITS.items()
        ],
        "schedules": [
            {"name": name, "parameters": _hypers(entry.hyper), **_origin(entry, entry.value)}
            for name, entry in SCHEDULES.items()
        ],
        "models": [
            {
                "name": name,
                "hyperparameters": _hypers(entry.hyper),
                **_origin(entry, entry.networks),
            }
            for name, entry in MODELS.items()
        ],
        "datasets": [{"name": name} for name in NAMES],
        "executors": [
            {"name": name, "what": _summary(entry.perform)} for name, entry in EXECUTORS.items()
        ],
        "listeners": [{"name": name, "what": _summary(entry)} for name, entry in LISTENERS.items()],
    }


def markdown(kinds: Mapping[str, Table]) -> str:
    """Kinds of the catalogue as a page: a table for each."""
    sections = (f"## {kind}\n\n{_markdown_table(table)}\n" for kind, table in kinds.items())
    return "\n".join(["# What is registered\n", MADE_BY, *sections])


MADE_BY = (
    "Made by `vaebench list --markdown`; the facts are those that `vaebench certify` checks.\n"
)


def _markdown_table(table: Table) -> str:
    rows = [list(table[0]), ["---"] * len(table[0]), *(list(row.values()) for row in table)]
    return "\n".join(f"| {' | '.join(map(as_markdown, row))} |" for row in rows)


def _objective(entry: Objective) -> dict[str, str]:
    return {
        "name": entry.name,
        "bound": _bound(entry),
        "several samples": _samples(entry),
        "needs": ", ".join(_needs(entry)),
        "hyperparameters": _hypers(entry.hyper),
        "same as": ", ".join(
            f"{s.other}{_at(s.other_at)}{' if ' if s.at or s.num_samples else ''}"
            f"{_conditions(s.at, s.num_samples)}{'' if s.exact else ' in expectation'}"
            for s in entry.same_as
        ),
        "source": entry.source,
        "what": entry.summary.replace(": [S, B] nats", ""),
    }


def _likelihood(entry: Likelihood) -> dict[str, str]:
    return {
        "name": entry.name,
        "support": entry.support.description,
        "measure": entry.measure,
        "hyperparameters": _hypers(entry.hyper),
        "trained": ", ".join([*entry.learned, *entry.fitted]),
        **_origin(entry, entry.log_prob),
    }


def _posterior(entry: Posterior) -> dict[str, str]:
    return {
        "name": entry.name,
        "codes": _codes(entry.discrete),
        "closed-form KL to": ", ".join(entry.closed_form_kl_to),
        "hyperparameters": _hypers(entry.hyper),
        **_origin(entry, entry.distribution),
    }


def _prior(entry: Prior) -> dict[str, str]:
    return {
        "name": entry.name,
        "codes": _codes(entry.discrete),
        "hyperparameters": _hypers(entry.hyper),
        "trained": ", ".join(entry.learned),
        **_origin(entry, entry.log_prob),
    }


def _codes(discrete: bool) -> str:
    return "one-hot" if discrete else "real"


class Sourced(Protocol):
    """An entry that says where it is from."""

    @property
    def source(self) -> str: ...


def _origin(entry: Sourced, function: Callable[..., Any]) -> dict[str, str]:
    """The source of an entry, and what its function says that it is."""
    return {"source": entry.source, "what": _summary(function)}


def _bound(entry: Objective) -> str:
    if entry.bound == "none":
        return "none"
    limits = (f" for {name} in [{a:g}, {b:g}]" for name, (a, b) in entry.bound_for.items())
    when = " as K grows" if entry.bound == "upper" else ""
    return f"{entry.bound}{when}{', tight' if entry.tight else ''}{''.join(limits)}"


def _samples(entry: Objective) -> str:
    """Whether the objective needs more than one sample to be what it is."""
    if entry.min_samples > 1:
        return f"needed (K >= {entry.min_samples})"
    limits = [same.other for same in entry.same_as if same.num_samples == 1]
    return f"else {limits[0]}" if limits else "free"


NEEDS: dict[Need, str] = {
    "independent_dimensions": "a Gaussian q(z|x) with independent dimensions",
    "closed_form_kl": "closed-form KL",
    "log_qz_x_at_any_z": "log q(z|x) at any z",
}


def _needs(entry: Objective) -> Iterator[str]:
    """What an objective needs beside samples with their densities. None of them needs labels."""
    if entry.needs:
        yield NEEDS[entry.needs]
    if entry.auxiliary:
        yield "a discriminator (trained beside the model)"
    if entry.of_batch:
        yield "the whole minibatch"


def _at(values: Mapping[str, float]) -> str:
    inside = ", ".join(f"{name}={value:g}" for name, value in values.items())
    return f"({inside})" if inside else ""


def _conditions(at: Mapping[str, float], num_samples: int | None) -> str:
    named = [f"{name}={value:g}" for name, value in at.items()]
    return ", ".join([*named, *([f"K={num_samples}"] if num_samples else [])])


def _hypers(declared: Mapping[str, Setting]) -> str:
    return ", ".join(
        name if setting.default is None else f"{name}={_shown(setting.default)}"
        for name, setting in declared.items()
    )


def _shown(value: float | str) -> str:
    return str(value) if isinstance(value, bool | str) else f"{value:g}"


def _summary(function: Callable[..., Any]) -> str:
    return (inspect.getdoc(function) or "").partition("\n")[0]
