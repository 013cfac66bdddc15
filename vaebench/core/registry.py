"""Registries of named entries, the decorators that add to them, and folders that fill them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, ParamSpec, Protocol, TypeVar, cast

from vaebench.core.errors import InputError, near_match
from vaebench.core.sources import remember


class Checked(Protocol):
    """An entry that can say whether what it declares fits its function."""

    def check(self) -> None:
        """Raises InputError where it does not."""


Entry = TypeVar("Entry")
CheckedEntry = TypeVar("CheckedEntry", bound=Checked)
Function = TypeVar("Function", bound=Callable[..., Any])
Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


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
        """Add an entry. Raises InputError where the name is taken."""
        if name in self._entries:
            raise InputError(f"{self.kind} names must be unique; {name!r} is taken: rename yours")
        self._entries[name] = entry

    def __getitem__(self, name: str) -> Entry:
        """The entry of that name. Raises InputError, with the nearest name, for an unknown one."""
        if not isinstance(name, str):
            known = ", ".join(self._entries)
            raise InputError(f"a {self.kind} must be given by name; got {name!r}; known: {known}")
        if name not in self._entries:
            raise InputError(f"unknown {self.kind} {name!r}; {near_match(name, self._entries)}")
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def discover(package: str, folders: Iterable[str]) -> None:
    """Import every module of a package, in the order of their names, so that its entries register.

    A package calls it as `discover(__name__, __path__)`.
    """
    for module in iter_modules(folders):
        import_module(f"{package}.{module.name}")


def registers(
    registry: Registry[CheckedEntry], entry_of: Callable[[str, Function], CheckedEntry]
) -> Callable[[Function], Function]:
    """A decorator that adds the entry of a function under the function's own name.

    It returns the function unchanged. Raises InputError where the entry's check does.
    """

    def register(function: Function) -> Function:
        name = name_of(function)
        entry = entry_of(name, function)
        entry.check()
        registry.add(name, entry)
        remember(function.__module__)
        return function

    return register


def named_arguments(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """The same function, where a wrong argument raises InputError with the nearest right name.

    A decorator all of whose arguments have defaults may stand without its brackets.
    """
    signature = inspect.signature(function)
    bare = all(p.default is not p.empty for p in signature.parameters.values())

    @functools.wraps(function)
    def checked(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        what = f"@{function.__name__}(...)"
        if bare and len(args) == 1 and callable(args[0]) and not kwargs:
            return cast(Any, function)()(args[0])
        for name in kwargs:
            if name not in signature.parameters:
                known = near_match(name, signature.parameters)
                raise InputError(f"{what} has no argument {name!r}; {known}")
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            raise InputError(
                f"{what} takes arguments by name, {', '.join(signature.parameters)}; got {error}"
            ) from error
        return function(*args, **kwargs)

    return checked
