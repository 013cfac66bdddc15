"""A page for each registered entry, made from what it declares."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from docs.site.equalities import OF_VALUES, equalities
from docs.site.reference import results_of
from docs.site.symbols import explained
from vaebench.core.hyper import Hyper, Setting
from vaebench.core.registry import Registry
from vaebench.core.shown import markdown
from vaebench.diagnostics.catalogue import catalogue
from vaebench.evaluation import GRADINGS
from vaebench.models import MODELS
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.models.posteriors import POSTERIORS
from vaebench.models.priors import PRIORS
from vaebench.objectives import OBJECTIVES, Objective

OF_THE_CATALOGUE = {"name", "what", "hyperparameters", "same as", "source"}
"""Columns of the catalogue that stand elsewhere on a page."""


@dataclass(frozen=True)
class Kind:
    """One kind of entry: where its pages are, and the words that they have in common."""

    plural: str
    registry: Registry[Any]
    function: str
    """The field of an entry that holds its function."""
    reading: str
    """How the formulas of the kind are read; "" for nothing to say."""
    cost: str
    """What every entry of the kind takes, before what one takes besides; "" for nothing to say."""
    setting: str
    """How a study chooses one, {} for its name and hyperparameters."""


KINDS = (
    Kind(
        "objectives",
        OBJECTIVES,
        "loss",
        "The loss is that of one example x, in nats, and is minimised; training takes its mean "
        "over a minibatch.",
        "K passes through the decoder for each example and step",
        "objective = {}",
    ),
    Kind(
        "likelihoods",
        LIKELIHOODS,
        "log_prob",
        "log p(x|z) is in nats, with all constants.",
        "",
        "likelihood = {}",
    ),
    Kind(
        "posteriors",
        POSTERIORS,
        "distribution",
        "What is not said otherwise comes from the encoder.",
        "",
        "posterior = {}",
    ),
    Kind("priors", PRIORS, "log_prob", "", "", "prior = {}"),
    Kind("models", MODELS, "networks", "", "", "model = {}"),
    Kind(
        "gradings",
        GRADINGS,
        "grade",
        "The formula is that of the figure the grading is known for; "
        "[evaluation](../../evaluation.md) has all that it gives. Every variant "
        "is graded by it in the same way, on held-out data.",
        "",
        "evaluate = {{ gradings = [{}] }}",
    ),
)


def navigation() -> list[dict[str, Any]]:
    """The section of the navigation: a list of pages for each kind."""
    return [
        {"All on one page": "registry.md"},
        *(
            {
                kind.plural.capitalize(): [
                    {name: uri_of(kind, name)} for name in sorted(kind.registry)
                ]
            }
            for kind in KINDS
        ),
    ]


def pages() -> dict[str, str]:
    """Where in the site -> the page, for each entry of each kind."""
    rows = catalogue()
    return {
        uri_of(kind, row["name"]): "\n\n".join(_sections(kind, kind.registry[row["name"]], row))
        for kind in KINDS
        for row in rows[kind.plural]
    }


def uri_of(kind: Kind, name: str) -> str:
    """Where the page of an entry stands in the site."""
    return f"entries/{kind.plural}/{name}.md"


def _sections(kind: Kind, entry: Any, row: Mapping[str, str]) -> Iterator[str]:
    function = getattr(entry, kind.function)
    yield f"# {row['name']}"
    yield inspect.getdoc(function) or ""
    formula = entry.about.formula
    yield f"## Formula\n\n```math\n{formula}\n```"
    yield from explained(kind.plural, formula)
    if kind.reading:
        yield kind.reading
    yield f"## When it is wrong\n\n{entry.about.wrong_when}"
    yield f"## Facts\n\n{_table(['fact', 'value'], _facts(kind, entry, row))}"
    if entry.hyper:
        yield f"## Hyperparameters\n\n{_hyperparameters(entry.hyper)}"
    if equals := [*equalities(kind.registry, entry)]:
        yield "## What it equals"
        if isinstance(entry, Objective):
            yield OF_VALUES
        yield "\n".join(f"- {line}" for line in equals)
    if results := results_of(kind.plural, entry.name):
        yield f"## In the reference results\n\n{results}"
    yield f"## In a study\n\n```toml\n[base]\n{_setting(kind, entry)}\n```"
    yield f"## Its code\n\n```python\n{_source(function)}\n```"


def _facts(kind: Kind, entry: Any, row: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What the entry declares, and where it is from."""
    yield "from", markdown(entry.source)
    for name, value in row.items():
        if name == "several samples":
            yield "more than one sample", markdown(_of_samples(value))
        elif name not in OF_THE_CATALOGUE and value:
            yield name, markdown(value)
    if kind.plural == "likelihoods":
        yield "numbers from the decoder, for each of x", str(entry.outputs_per_pixel)
    if isinstance(entry, Objective) and entry.no_looser_than:
        yield "never looser than", ", ".join(f"`{name}`" for name in entry.no_looser_than)
    costs = [cost for cost in (kind.cost, markdown(entry.about.cost)) if cost]
    if costs:
        yield "takes", "; ".join(costs)
    yield "checked by", f"`{_check(kind, entry.name)}`"


def _of_samples(value: str) -> str:
    """What the catalogue says of several samples, in a sentence."""
    if value == "free":
        return "less noise, the same bound"
    other = value.removeprefix("else ")
    return value if other == value else f"needed: with one it is {other}"


def _check(kind: Kind, name: str) -> str:
    if kind.plural == "gradings":
        return "nox -s tests"
    return f"vaebench certify {name} --kind {kind.plural}"


def _hyperparameters(declared: Mapping[str, Setting]) -> str:
    rows = (
        (f"`{name}`", _default(setting), _valid(setting), _searched(setting))
        for name, setting in declared.items()
    )
    return _table(["name", "default", "valid", "range of a sweep"], rows)


def _default(setting: Setting) -> str:
    return "none: say it" if setting.default is None else _shown(setting.default)


def _valid(setting: Setting) -> str:
    if not isinstance(setting, Hyper):
        return ", ".join(map(_shown, setting.values))
    number = "whole number" if setting.integer else "number"
    limits = [
        *([f"from {setting.low:g}"] if setting.low > -float("inf") else []),
        *([f"to {setting.high:g}"] if setting.high < float("inf") else []),
    ]
    return " ".join([number, *limits])


def _searched(setting: Setting) -> str:
    if not isinstance(setting, Hyper):
        return "any"
    if setting.search is None:
        return "not searched, unless `[sweep.space]` says so"
    low, high = setting.search
    return f"{low:g} to {high:g}{', on a log scale' if setting.log else ''}"


def _shown(value: float | str | bool) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).lower()


def _setting(kind: Kind, entry: Any) -> str:
    hyper = {
        name: setting.default if setting.default is not None else _some(setting)
        for name, setting in entry.hyper.items()
        if isinstance(setting, Hyper) or setting.default is not None
    }
    inside = ", ".join([f'name = "{entry.name}"', *(f"{n} = {_toml(v)}" for n, v in hyper.items())])
    return kind.setting.format(
        f"{{ {inside} }}" if hyper or kind.plural == "models" else f'"{entry.name}"'
    )


def _some(setting: Hyper) -> float:
    """A value for a hyperparameter without a default: one end of its range."""
    return setting.search[0] if setting.search else 1.0


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else f"{value:g}"


def _source(function: Callable[..., Any]) -> str:
    """A function without its decorator, whose facts stand above."""
    _, start, rest = inspect.getsource(inspect.unwrap(function)).partition("def ")
    return start + rest.rstrip()


def _table(head: list[str], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [tuple(head), ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
