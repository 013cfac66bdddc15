"""Registry[Entry]: add, look up, fail with a hint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from vaebench.core.errors import InputError, near_match

Entry = TypeVar("Entry")


def name_of(function: Any) -> str:
    """The name that a function is registered under. Raises InputError where it has none."""
    name = getattr(function, "__name__", "")
    if not name.isidentifier():
        raise InputError(
            f"what is registered needs a name, which {function!r} has not: write it with def"
        )
    return name


class Registry(Mapping[str, Entry]):
    """Named entries of one kind, in the order in which they were added."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, Entry] = {}

    def add(self, name: str, entry: Entry) -> None:
        """Raises InputError where the name is taken."""
        if name in self._entries:
            raise InputError(f"{self.kind} names must be unique; {name!r} is taken: rename yours")
        self._entries[name] = entry

    def __getitem__(self, name: str) -> Entry:
        """Raises InputError, with the nearest known name, where there is no such entry."""
        if name not in self._entries:
            raise InputError(f"unknown {self.kind} {name!r}; {near_match(name, self._entries)}")
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
