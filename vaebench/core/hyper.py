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
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

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
        if not (math.isfinite(value) and self.low <= value <= self.high):
            raise InputError(
                f"{name} must be finite, in [{self.low:g}, {self.high:g}]; got {value:g}"
            )
        if self.integer and value != int(value):
            raise InputError(f"{name} must be a whole number; got {value:g}")


def hyperparameters(function: Callable[..., Any]) -> dict[str, Hyper]:
    """The keyword-only parameters of a registered function, by name."""
    return dict(_read(function))


@functools.lru_cache(maxsize=1024)  # a study asks a hundred times for each of its runs
def _read(function: Callable[..., Any]) -> dict[str, Hyper]:
    hints = get_type_hints(innermost(function), include_extras=True)
    return {
        name: replace(
            _declared(hints.get(name)),
            default=_default(parameter),
            integer=int in (hints.get(name), *get_args(hints.get(name))),
        )
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }


def check_signature(
    what: str, function: Callable[..., Any], *positional: str, scalars: str = "hyperparameters"
) -> dict[str, Hyper]:
    """The hyperparameters of a function that takes these positional arguments and no others.

    Their names are the function's own business. Raises InputError where it takes fewer, where a
    further parameter does not come after a *, and where the signature cannot be read.
    """
    try:
        parameters = [*inspect.signature(function).parameters.values()]
        declared = hyperparameters(function)
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
    return declared


def complete(what: str, declared: Mapping[str, Hyper], values: Mapping[str, Any]) -> dict[str, Any]:
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
    if is_of_no_file(function):
        return definition_fingerprint(function)
    if package_of(function) == "vaebench":
        return ""
    inside = innermost(function)
    # The module's own file: a function may be wrapped by one from another file.
    file = getattr(sys.modules.get(inside.__module__), "__file__", None) or inspect.getfile(inside)
    return sources.fingerprint(inside.__module__, Path(file))


def _declared(annotation: Any) -> Hyper:
    declared = [m for m in getattr(annotation, "__metadata__", ()) if isinstance(m, Hyper)]
    return declared[0] if declared else Hyper()


def _default(parameter: inspect.Parameter) -> float | None:
    return None if parameter.default is parameter.empty else float(parameter.default)
