"""What a part of the race has measured, as one JSON file beside the tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

Item = TypeVar("Item")


class Measured(msgspec.Struct, Generic[Item]):
    """Results, and the machine and versions that they are of."""

    environment: dict[str, str]
    results: list[Item]


def write(path: Path, environment: dict[str, str], results: Sequence[Any]) -> None:
    """The file is there in full, or is as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    record = msgspec.json.encode({"environment": environment, "results": results})
    whole = path.with_suffix(".new")
    whole.write_bytes(msgspec.json.format(record, indent=1) + b"\n")
    whole.replace(path)


def read(path: Path, kind: type[Item]) -> Measured[Item] | None:
    """What was measured; None where the part has not been raced."""
    if not path.exists():
        return None
    measured: Measured[Item] = msgspec.json.decode(path.read_bytes(), type=Measured[kind])  # type: ignore[valid-type]
    return measured
