"""Hyperparameters: the signature of a registered function is its configuration.

`beta: Annotated[Scalar, Hyper(search=(0.1, 10.0), log=True, low=0.0)] = 4.0` gives a default, a
range to search and the values that are valid; the CLI, the sweeps and the checks read them here.
"""

from __future__ import annotations

import functools
import inspect
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from torch import Tensor

from vaebench.core import sources
from vaebench.core.definition import definition_fingerprint, innermost, is_of_no_file
from vaebench.core.errors import InputError, near_match
from vaebench.core.user_code import package_of

Scalar = float | Tensor
"""One value, or one per stacked run: a float or an [S, 1] tensor."""


SomeScalar = TypeVar("SomeScalar", Tensor, float, Scalar)


def with_axis(value: SomeScalar) -> SomeScalar:
    """One value, or one per run with an axis more, [S, 1] -> [S, 1, 1]: beside [S, B, D]."""
    return value[..., None] if isinstance(value, Tensor) else value


@dataclass(frozen=True)
class Hyper:
    """One scalar hyperparameter: its range to search, the interval that is valid, its default.

    `integer`, read off the annotation, marks a count: one for all runs of a stack, no schedule.
    """

    search: tuple[float, float] | None = None
    log: bool = False
    low: float = -math.inf
    high: float = math.inf
    default: float | None = None
    integer: bool = False

    def check(self, name: str, value: float) -> None:
        """Raises InputError where value is outside the valid interval, not finite or no count."""
        if isinstance(value, bool) or not isinstance(value, Real):
            raise InputError(f"{name} must be a number; got {value!r}")
        if not (math.isfinite(value) and self.low <= value <= self.high):
            raise InputError(
                f"{name} must be finite, in [{self.low:g}, {self.high:g}]; got {value:g}"
            )
        if self.integer and value != int(value):
            raise InputError(f"{name} must be a whole number; got {value:g}")


@dataclass(frozen=True)
class Words:
    """One hyperparameter that is a word, or true or false: which there are, and its default.

    Read off an annotation Literal["relu", "tanh"], or bool. Networks alone have such.
    """

    values: tuple[str | bool, ...]
    default: str | bool | None = None

    def check(self, name: str, value: float | str) -> None:
        """Raises InputError where value is none of the words."""
        if not any(
            value is word or (value == word and isinstance(value, str)) for word in self.values
        ):
            raise InputError(f"{name} must be {self}; got {value!r}")

    def __str__(self) -> str:
        return " or ".join(map(repr, self.values))


Setting = Hyper | Words
"""A hyperparameter of any kind."""


def hyperparameters(function: Callable[..., Any]) -> dict[str, Hyper]:
    """The keyword-only parameters of a registered function, by name."""
    return {name: hyper for name, hyper in _read(function).items() if isinstance(hyper, Hyper)}


def settings(function: Callable[..., Any]) -> dict[str, Setting]:
    """The keyword-only parameters of a function that may have words among them, by name."""
    return dict(_read(function))


@functools.lru_cache(maxsize=1024)  # a study asks a hundred times for each of its runs
def _read(function: Callable[..., Any]) -> dict[str, Setting]:
    hints = get_type_hints(innermost(function), include_extras=True)
    return {
        name: _setting(hints.get(name), parameter)
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }


def _setting(annotation: Any, parameter: inspect.Parameter) -> Setting:
    default = None if parameter.default is parameter.empty else parameter.default
    if isinstance(default, str) and get_origin(annotation) is not Literal:
        raise TypeError(f'{parameter.name} must say its words, as in Literal["{default}", ...]')
    if annotation is bool or isinstance(default, bool):
        return Words((False, True), default)
    if get_origin(annotation) is Literal:
        return Words(get_args(annotation), default)
    return replace(
        _declared(annotation),
        default=None if default is None else float(default),
        integer=int in (annotation, *get_args(annotation)),
    )


def check_signature(
    what: str, function: Callable[..., Any], *positional: str, scalars: str = "hyperparameters"
) -> dict[str, Hyper]:
    """The hyperparameters of a function that takes these positional arguments and no others.

    Raises InputError as `check_arguments`, and where a hyperparameter is no number.
    """
    check_arguments(what, function, *positional, scalars=scalars)
    for name, setting in settings(function).items():
        if isinstance(setting, Words):
            raise InputError(f"{what}: {scalars} are numbers; {name!r} is {setting}: make it one")
    return hyperparameters(function)


def check_arguments(
    what: str, function: Callable[..., Any], *positional: str, scalars: str = "hyperparameters"
) -> None:
    """Raises InputError where a function takes fewer positional arguments, where a further
    parameter does not come after a *, and where the signature cannot be read.

    The names of the arguments are the function's own business.
    """
    try:
        parameters = [*inspect.signature(function).parameters.values()]
        settings(function)
    except (NameError, TypeError, ValueError) as error:
        raise InputError(f"{what}: its signature cannot be read: {error}") from error
    first, others = parameters[: len(positional)], parameters[len(positional) :]
    by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if [p.kind in by_position for p in first] != [True] * len(positional):
        raise InputError(
            f"{what}: its function takes ({', '.join(positional)}); "
            f"got ({', '.join(p.name for p in parameters)})"
        )
    if loose := [p.name for p in others if p.kind is not p.KEYWORD_ONLY]:
        raise InputError(f"{what}: {scalars} come after a *; {loose[0]!r} does not")


def complete(
    what: str, declared: Mapping[str, Setting], values: Mapping[str, Any]
) -> dict[str, Any]:
    """The values with the defaults of those left out, in declared order.

    Raises InputError for an unknown hyperparameter or a missing one.
    """
    for name in values:
        if name not in declared:
            raise InputError(f"{what} has no hyperparameter {name!r}; {near_match(name, declared)}")
    full = {name: values.get(name, hyper.default) for name, hyper in declared.items()}
    missing = [name for name, value in full.items() if value is None]
    if missing:
        raise InputError(f"{what} needs a value for {missing[0]!r}, which has no default: give one")
    return full


def source_fingerprint(function: Callable[..., Any]) -> str:
    """The fingerprint of the file that defines a registered function, with all that it imports.

    Only imports of the user's own files count. "" for a function of the package. It goes into a
    run's hash, so that an edited plugin is run again. A function that is in no file, as in a
    notebook, has a fingerprint of its code.
    """
    if _is_of_the_package(function):
        return ""
    if is_of_no_file(function):
        return definition_fingerprint(function)
    inside = innermost(function)
    # The module's own file: a function may be wrapped by one from another file.
    file = getattr(sys.modules.get(inside.__module__), "__file__", None) or inspect.getfile(inside)
    return sources.fingerprint(inside.__module__, Path(file))


@functools.lru_cache(maxsize=1024)  # a sweep asks ten times for each of its trials
def _is_of_the_package(function: Callable[..., Any]) -> bool:
    """Whether a function is one of the package, and so is what it wraps."""
    return package_of(function) == "vaebench" and not is_of_no_file(function)


def _declared(annotation: Any) -> Hyper:
    declared = [m for m in getattr(annotation, "__metadata__", ()) if isinstance(m, Hyper)]
    return declared[0] if declared else Hyper()
