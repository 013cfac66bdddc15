"""The door to user code: it is handed copies, and of what it gives a copy is kept.

A function of the user's may work in place, or give the same buffer at every call; what it gives is
then what it would give as a pure function, and the suite's own memory stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from types import BuiltinFunctionType
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

T = TypeVar("T")


def package_of(function: Callable[..., Any]) -> str:
    """The top-level package that a function is from; "" where it names none, as PyTorch's in C."""
    return str(getattr(function, "__module__", None) or "").partition(".")[0]


def is_users(function: Callable[..., Any]) -> bool:
    """Whether a function comes from outside the package, and is none of PyTorch's written in C."""
    package = package_of(function)
    if isinstance(function, BuiltinFunctionType) and package in ("", "torch"):
        return False
    return package != "vaebench"


def call(function: Callable[..., T], *values: Any, **named: Any) -> T:
    """What a function gives; one of the user's works on copies, and gives a copy."""
    if not is_users(function):
        return function(*values, **named)
    return copied(function(*copied(values), **copied(named)))


def copied(value: T) -> T:
    """The value with tensors and arrays of its own, in whatever tuples, tables and dataclasses.

    A gradient flows through the copy. Networks stay the same ones, as training moves them.
    """
    copy: Any = value
    match value:
        case Tensor():
            copy = value.clone()
        case np.ndarray():
            copy = value.copy()
        case dict():
            copy = {name: copied(each) for name, each in value.items()}
        case list():
            copy = [copied(each) for each in value]
        case tuple():
            copies = (copied(each) for each in value)
            copy = type(value)(*copies) if hasattr(value, "_fields") else tuple(copies)
        case _ if is_dataclass(value) and not isinstance(value, type):
            parts = {f.name: copied(getattr(value, f.name)) for f in fields(value) if f.init}
            copy = replace(value, **parts)
    return copy
