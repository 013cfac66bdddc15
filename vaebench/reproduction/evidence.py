"""What a claim is judged by: the records of its runs, or the slopes of its gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from vaebench.config.places import by_place, value_at
from vaebench.results import Record

GradientRow = Mapping[str, Any]
"""A row of `vaebench gradients`: variant, K, side, metric, value."""
Selection = dict[str, Any]
"""Values by their place in a run's configuration, as `{objective = "iwae", num_samples = 5}`."""

PUBLISHED = {"mnist": "399f6831a588b2df", "binarized_mnist": "c824adaab97a3672"}
"""Fingerprints of the data that claims are of, as their publishers have them."""


class NotComparableError(Exception):
    """Why a statement cannot be judged by what there is."""


class Evidence(Struct, frozen=True):
    """The records of a study; and of a measurement of gradients its rows, by seed."""

    records: Sequence[Record] = ()
    gradients: Mapping[int, Sequence[GradientRow]] = {}


def by_seed(
    records: Sequence[Record], of: Selection, metric: str, protocol: str
) -> dict[int, float]:
    """The figure of each selected run, by seed.

    Raises NotComparableError where there are no such runs, one of them did not end well, saw other
    data than were published, lacks the figure, or has it by another protocol.
    """
    chosen = [record for record in records if matches(record.config, of)]
    if not chosen:
        raise NotComparableError(f"there is no run of {named(of)}")
    figures: dict[int, float] = {}
    for record in chosen:
        seed = record.config["seed"]
        if seed in figures:
            raise NotComparableError(f"{named(of)} selects several runs of seed {seed}")
        figures[seed] = _figure(record, metric, protocol)
    return figures


def variants(records: Sequence[Record], of: Selection) -> dict[str, list[Record]]:
    """The selected runs by likelihood and variant. Raises NotComparableError for none."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        if matches(record.config, of):
            name = f"{record.labels.variant} ({record.labels.likelihood})"
            groups.setdefault(name, []).append(record)
    if not groups:
        raise NotComparableError(f"there is no run of {named(of)}")
    return groups


def paired(first: Mapping[int, float], second: Mapping[int, float]) -> dict[int, float]:
    """First minus second, by seed. Raises NotComparableError for a seed that one of them lacks."""
    if alone := sorted(first.keys() ^ second.keys()):
        raise NotComparableError(f"seed {alone[0]} is missing on one side of the difference")
    return {seed: value - second[seed] for seed, value in first.items()}


def matches(config: Mapping[str, Any], of: Selection) -> bool:
    """Whether a run's configuration has all of these values; an entry is meant by its name."""
    return all(_named(value_at(config, place)) == value for place, value in by_place(of).items())


def named(of: Selection) -> str:
    """A selection in words."""
    words = (f"{place} = {value}" for place, value in by_place(of).items())
    return ", ".join(words) or "the study"


def _named(value: Any) -> Any:
    return value["name"] if isinstance(value, dict) and "name" in value else value


def _figure(record: Record, name: str, protocol: str) -> float:
    run = f"{record.labels.variant}, seed {record.config['seed']},"
    if record.status != "done":
        why = (record.reason.strip().splitlines() or ["no reason is recorded"])[-1]
        raise NotComparableError(f"{run} {record.status}: {why}")
    data = record.config.get("data", {})
    if data.get("fingerprint") != PUBLISHED.get(data.get("name"), data.get("fingerprint")):
        raise NotComparableError(f"{run} saw another {data['name']} than was published")
    figure = next((m for m in record.metrics if m.metric == name), None)
    if figure is None or figure.value is None:
        raise NotComparableError(f"{run} has no {name}")
    if figure.protocol != protocol:
        raise NotComparableError(
            f"{name} is graded by {figure.protocol!r}, the claim's protocol is {protocol!r}"
        )
    return figure.value
