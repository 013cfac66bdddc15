"""Puts the runs of several folders, as from several machines, into one."""

from __future__ import annotations

import hashlib
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from vaebench.core.errors import InputError, InputWarning
from vaebench.results import folder
from vaebench.results.files import PARTS
from vaebench.results.lock import alone
from vaebench.results.reading import without_curves
from vaebench.results.record import Record, Status

UNNAMED = "an earlier one, which is not named"
Ways = Mapping[str, Mapping[str, str]]
"""For each thing that must be alike, the ways in which it was made, each with a run made so."""


@dataclass(frozen=True)
class Merged:
    """How many runs a merged folder has, and how many records were there once more."""

    num_runs: int
    num_twice: int


def named(record: Record) -> int:
    """The protocol of training that a record names; 0 where it names none."""
    return record.protocol


def merge(
    sources: Sequence[Path], out: Path, protocol_of: Callable[[Record], int] = named
) -> Merged:
    """Copy the runs of folders into `out`, which may hold runs already, as after an interruption.

    A run that several have is copied once. `protocol_of`: tells the protocol of a run's training, 0
    where it is not known. Raises InputError, before anything is written, where data, protocol or
    gradings of one name differ between two folders, or their records of one run.
    """
    _check_named(sources, out)
    every = [*sources, *([out] if (out / "runs").is_dir() else [])]
    _check_alike([(source, _ways_of_folder(source, protocol_of)) for source in every])
    chosen, num_twice = _chosen(every)
    folder.prepare(out)
    with alone(out):
        for run, choice in chosen.items():
            if choice.source != out:
                _copy(choice.source, out, run)
        _copy_timings(sources, out)
    return Merged(len(chosen), num_twice)


def _check_named(sources: Sequence[Path], out: Path) -> None:
    for source in sources:
        if not (source / "runs").is_dir():
            raise InputError(f"{source} must be a results folder; it has no {source}/runs")
        if not any((source / "runs").glob("*.json")):
            raise InputError(
                f"{source} must hold results (runs/*.json); it has none: leave it out, or run its "
                f"study first"
            )
    resolved = [path.resolve() for path in (*sources, out)]
    if len(set(resolved)) < len(resolved):
        raise InputError(
            "folders to merge, and the new one, must be different folders; two are one"
        )


def _ways_of_folder(source: Path, protocol_of: Callable[[Record], int]) -> Ways:
    """What the records of a folder say of their data, protocol and gradings."""
    ways: dict[str, dict[str, str]] = defaultdict(dict)
    for record in folder.records(source, curves=False):
        for thing, way in _ways(record, protocol_of):
            ways[thing].setdefault(way, record.run)
    return ways


def _ways(record: Record, protocol_of: Callable[[Record], int]) -> Iterator[tuple[str, str]]:
    data = record.config.get("data")
    if isinstance(data, dict) and data.get("fingerprint"):
        yield f"the data of {record.labels.dataset!r}", str(data["fingerprint"])
    if record.training:  # one of a model from elsewhere follows no protocol of training
        yield "the protocol of training", str(protocol_of(record) or UNNAMED)
    for metric in record.metrics:
        if metric.fingerprint:
            yield f"{metric.metric} in {record.labels.observation_space}", metric.fingerprint


def _check_alike(folders: Sequence[tuple[Path, Ways]]) -> None:
    """Raises InputError for a thing that two folders have made in different ways."""
    for i, (source, ways) in enumerate(folders):
        for other, others in folders[:i]:
            for thing in sorted(ways.keys() & others.keys()):
                if ways[thing].keys() <= others[thing].keys():
                    continue
                if ways[thing].keys() >= others[thing].keys():
                    continue
                of_one, of_other = _differing(others[thing], ways[thing])
                raise InputError(
                    f"folders to merge must be made alike; {thing} is {of_one[0]} in "
                    f"{other}/runs/{of_one[1]}.json, and {of_other[0]} in "
                    f"{source}/runs/{of_other[1]}.json: merge those that are alike, and run the "
                    f"studies of the others again, in another folder"
                )


def _differing(
    one: Mapping[str, str], other: Mapping[str, str]
) -> tuple[tuple[str, str], tuple[str, str]]:
    """The first way of each that the other does not have, with its run."""
    mine = next(item for item in one.items() if item[0] not in other)
    theirs = next(item for item in other.items() if item[0] not in one)
    return mine, theirs


@dataclass(frozen=True)
class _Choice:
    """Which folder a run is taken from."""

    source: Path
    status: Status
    agreed: bytes
    """The digest of what records of one run must agree in."""


def _chosen(folders: Iterable[Path]) -> tuple[dict[str, _Choice], int]:
    """The choice for each run, and how many records were the same as a chosen one.

    What has ended goes before what failed. Raises InputError where two folders have different
    records of a run that ended.
    """
    chosen: dict[str, _Choice] = {}
    num_twice = 0
    for source in folders:
        for record in folder.records(source, curves=False):
            choice = _Choice(source, record.status, _digest(record))
            before = chosen.setdefault(record.run, choice)
            if before is choice:
                continue
            if before.status == "failed":
                chosen[record.run] = before if record.status == "failed" else choice
            elif record.status != "failed" and before.agreed != choice.agreed:
                raise _conflict(before.source, source, record.run)
            else:
                num_twice += 1
    return chosen, num_twice


def _agreed(record: Record) -> Record:
    """A record without what may differ between machines: where and how its run was done."""
    return msgspec.structs.replace(
        record, study="", reason="", curves={}, config={}, operations={}, environment={}
    )


def _digest(record: Record) -> bytes:
    encoded = msgspec.json.encode(_agreed(record), order="deterministic")
    return hashlib.sha256(encoded).digest()


def _conflict(one: Path, other: Path, run: str) -> InputError:
    """The refusal of two records of one run, with the fields in which they differ."""
    both = [_agreed(without_curves(folder.read(source, run))) for source in (one, other)]
    tables = [msgspec.structs.asdict(record) for record in both]
    fields = [name for name, value in tables[0].items() if value != tables[1][name]]
    return InputError(
        f"two records of one run must be the same; {one}/runs/{run}.json and "
        f"{other}/runs/{run}.json differ in {', '.join(fields)}: choose one of them, and remove "
        f"the other by `vaebench runs FOLDER run={run} --prune`"
    )


def _copy(source: Path, out: Path, run: str) -> None:
    """Copy a run with what lies beside its record; the record last, as it says that all is there.

    Raises InputError where a file cannot be read.
    """
    for part in (*PARTS[1:], PARTS[0]):
        path = folder.file_of(source, part, run)
        if path.exists():
            folder.write_part(out, part, run, path.read_bytes())


def _copy_timings(sources: Sequence[Path], out: Path) -> None:
    """Keep the timing pass of one folder. Those of several are not comparable, and left out."""
    passes = [timed for source in sources if (timed := folder.timings(source))]
    if len(passes) == 1 or (passes and all(timed == passes[0] for timed in passes)):
        folder.write_timings(out, passes[0])
    elif passes:
        warnings.warn(
            f"timings are left out: those of {len(passes)} folders were not made in one pass; "
            f"`vaebench run STUDY --out {out}` makes one",
            InputWarning,
            stacklevel=3,
        )
