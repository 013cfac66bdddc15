"""What is registered, as plain tables: for `vaebench list` and the documentation."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from vaebench.data.lookup import NAMES
from vaebench.executors import EXECUTORS
from vaebench.hyper import Hyper, hyperparameters
from vaebench.likelihoods import LIKELIHOODS
from vaebench.models import MODELS
from vaebench.objectives import OBJECTIVES, Objective
from vaebench.schedules import SCHEDULES

Lines = list[dict[str, str]]


def catalogue() -> dict[str, Lines]:
    """One line per entry of every registry, by kind."""
    return {
        "objectives": [_objective(entry) for entry in OBJECTIVES.values()],
        "likelihoods": [
            {
                "name": entry.name,
                "support": entry.support.description,
                "measure": entry.measure,
                "hyperparameters": _hypers(entry.hyper),
                "source": entry.source,
                "what": _summary(entry.log_prob),
            }
            for entry in LIKELIHOODS.values()
        ],
        "schedules": [
            {"name": name, "parameters": _hypers(hyperparameters(f)), "what": _summary(f)}
            for name, f in SCHEDULES.items()
        ],
        "models": [{"name": name, "what": _summary(f)} for name, f in MODELS.items()],
        "datasets": [{"name": name} for name in NAMES],
        "executors": [{"name": name, "what": _summary(f)} for name, f in EXECUTORS.items()],
    }


def _objective(entry: Objective) -> dict[str, str]:
    return {
        "name": entry.name,
        "bound": _bound(entry),
        "hyperparameters": _hypers(entry.hyper),
        "same as": ", ".join(
            f"{s.other}{_at(s.other_at)}{' if ' if s.at or s.num_samples else ''}"
            f"{_conditions(s.at, s.num_samples)}{'' if s.exact else ' in expectation'}"
            for s in entry.same_as
        ),
        "source": entry.source,
        "what": entry.summary,
    }


def _bound(entry: Objective) -> str:
    if entry.bound == "none":
        return "none"
    limits = (f" for {name} in [{a:g}, {b:g}]" for name, (a, b) in entry.bound_for.items())
    return f"{entry.bound}, {'tight' if entry.tight else 'loose'}{''.join(limits)}"


def _at(values: Mapping[str, float]) -> str:
    inside = ", ".join(f"{name}={value:g}" for name, value in values.items())
    return f"({inside})" if inside else ""


def _conditions(at: Mapping[str, float], num_samples: int | None) -> str:
    named = [f"{name}={value:g}" for name, value in at.items()]
    return ", ".join([*named, *([f"K={num_samples}"] if num_samples else [])])


def _hypers(declared: Mapping[str, Hyper]) -> str:
    return ", ".join(
        name if hyper.default is None else f"{name}={hyper.default:g}"
        for name, hyper in declared.items()
    )


def _summary(function: Callable[..., Any]) -> str:
    return (inspect.getdoc(function) or "").partition("\n")[0]
