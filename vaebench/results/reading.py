"""Read files of records that may be damaged, and check all that their readers rely on."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from vaebench.core.errors import InputError
from vaebench.results.record import SCHEMA, Record, Training


class NewerRecordError(InputError):
    """A record of a later version: it is not broken, and is never put aside or replaced."""


ID = re.compile("[0-9a-f]{16}")
TIMED = "timing-"
"""What precedes the id of a variant's first run, in the records of a timing pass."""
LARGEST = 2**63 - 1
"""The largest whole number that a table can hold."""


def read_record(path: Path) -> Record:
    """Read the record of the run that a file is named by. Raises InputError for anything else."""
    record: Record = _decoded(path, Record)
    _refuse(path, _problems(record, path.stem))
    return record


def read_timings(path: Path) -> list[Record]:
    """Read the records of a timing pass. Raises InputError for anything else."""
    records: list[Record] = _decoded(path, list[Record])
    for record in records:
        _refuse(path, _problems_of_timing(record))
    return records


def without_curves(record: Record) -> Record:
    """The record without its curves, and with what they say of its training."""
    return msgspec.structs.replace(record, curves={}, training=training_of(record))


def training_of(record: Record) -> Training | None:
    """How a run was trained. A record of before has no such field: its curve says it, which lacks
    a point where the run ended early."""
    if record.training:
        return record.training
    train = record.config.get("train")
    num_steps = train.get("num_steps") if isinstance(train, dict) else None
    points = [step for step in record.curves.get("step", ()) if step is not None]
    if record.status != "done" or num_steps is None or not points:
        return None
    if not all(1 <= step <= num_steps <= LARGEST for step in points):
        return None
    steps = int(points[-1]) if points[-1] + points[0] <= num_steps else num_steps
    return Training(steps, num_steps, kept=steps)


def _problems(record: Record, stem: str) -> Iterator[str]:
    if not (ID.fullmatch(record.run) and record.run == stem):
        yield f"its run must be the file's name, 16 hex digits; got {record.run!r}"
    yield from _problems_of_contents(record)


def _problems_of_timing(record: Record) -> Iterator[str]:
    if not (record.run.startswith(TIMED) and ID.fullmatch(record.run.removeprefix(TIMED))):
        yield f"a timing's run must be {TIMED!r} and 16 hex digits; got {record.run!r}"
    runs = record.config.get("runs")
    if not (isinstance(runs, list) and all(isinstance(run, str) for run in runs)):
        yield f"a timing must list its runs; got {runs!r:.40}"
    yield from _problems_of_contents(record)


def _problems_of_contents(record: Record) -> Iterator[str]:
    if not 0 <= (record.labels.seed or 0) <= LARGEST:
        yield f"its seed must be from 0 to 2**63 - 1; got {record.labels.seed}"
    if not 1 <= record.labels.num_samples <= LARGEST:
        yield f"its num_samples must be from 1 to 2**63 - 1; got {record.labels.num_samples}"
    training = record.config.get("train", {})
    if not isinstance(training, dict) or type(training.get("num_steps", 1)) is not int:
        yield f"its train must be a table with a number of steps; got {training!r:.40}"
    lengths = {name: len(values) for name, values in record.curves.items()}
    if len(set(lengths.values())) > 1:
        yield f"curves must have as many points each; got {lengths}"
    if lengths and "step" not in lengths:
        yield f"curves must have their steps; got {', '.join(lengths)}"
    names = [metric.metric for metric in record.metrics]
    if twice := {name for name in names if names.count(name) > 1}:
        yield f"a metric must be there once; got twice {', '.join(sorted(twice))}"


def _refuse(path: Path, problems: Iterator[str]) -> None:
    if problem := next(problems, ""):
        raise _fault(path, problem)


class _Versioned(Struct):
    """What every record says, whatever its schema."""

    schema: int = SCHEMA


def _decoded(path: Path, kind: Any) -> Any:
    """Raises NewerRecordError for a record of a later schema, InputError for what is none."""
    content = b""
    try:
        if not path.is_file():  # a pipe would be waited for
            raise _fault(path, "it is no file")
        content = path.read_bytes()
        decoded = msgspec.json.decode(content, type=kind)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        _refuse_newer(path, _versions(content))
        raise _fault(path, str(error)) from error
    _refuse_newer(path, decoded if isinstance(decoded, list) else [decoded])
    return decoded


def _versions(content: bytes) -> list[Any]:
    """What can be made out of the schemas of records that cannot be read."""
    for kind in (_Versioned, list[_Versioned]):
        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            decoded: Any = msgspec.json.decode(content, type=kind)
            return decoded if isinstance(decoded, list) else [decoded]
    return []


def _refuse_newer(path: Path, records: Iterable[Any]) -> None:
    if newer := max((r.schema for r in records if r.schema > SCHEMA), default=0):
        raise NewerRecordError(
            f"{path} is a record of schema {newer}, which a later vaebench wrote; this one reads "
            f"up to {SCHEMA}: install that one, or choose another folder"
        )


def _fault(path: Path, problem: str) -> InputError:
    return InputError(
        f"{path} must be a record of this version ({problem}): mend it, or run its study again, "
        f"which sets it aside as {path.name}.broken"
    )
