"""What an entry equals, and where: identities that are certified, and limits that tests prove."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vaebench.core.registry import Registry
from vaebench.core.shown import markdown
from vaebench.objectives import Objective, SameAs

OF_VALUES = "In the value of the loss; whose gradient an estimator has is said apart."


def equalities(registry: Registry[Any], entry: Any) -> Iterator[str]:
    """Identities that `vaebench certify` checks, and limits that a test proves."""
    if isinstance(entry, Objective):
        for same in entry.same_as:
            yield f"{_at(_link(same.other), same.other_at)}{_conditions(entry, same)}"
        for side, gradient in entry.gradient_of.items():
            grows = ", as K grows" if gradient.other == entry.name else ""
            of = "the bound" if grows else _at(_link(gradient.other), gradient.other_at)
            yield f"its {side}'s gradient is, in expectation, that of {of}{grows}"
    for limit in entry.about.limits:
        yield f"{_link(limit.other)}, where {markdown(limit.when)}"
    yield from _declared_elsewhere(registry, entry)


def _declared_elsewhere(registry: Registry[Any], entry: Any) -> Iterator[str]:
    """What other entries declare to be this one."""
    for other in registry.values():
        for limit in other.about.limits:
            if limit.other == entry.name:
                yield f"{_link(other.name)} becomes it, where {markdown(limit.when)}"
        for same in getattr(other, "same_as", ()):
            if same.other == entry.name and all(s.other != other.name for s in entry.same_as):
                here = f" at {_values(same.other_at)}" if same.other_at else ""
                yield f"{_link(other.name)} is it{here}{_conditions(other, same)}"


def _conditions(entry: Objective, same: SameAs) -> str:
    """Where an identity that an entry declares holds."""
    conditions = [
        *([_values(same.at)] if same.at else []),
        *([f"K = {same.num_samples}"] if same.num_samples else []),
        *(["its state is where a run starts"] if entry.state else []),
    ]
    where = f", where {', '.join(conditions)}" if conditions else ""
    return where + ("" if same.exact else ", in expectation")


def _values(hyper: Mapping[str, float]) -> str:
    return ", ".join(f"{name} = {value:g}" for name, value in hyper.items())


def _at(link: str, hyper: Mapping[str, float]) -> str:
    return f"{link} at {_values(hyper)}" if hyper else link


def _link(name: str) -> str:
    return f"[{name}]({name}.md)"
