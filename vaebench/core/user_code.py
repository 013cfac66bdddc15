"""Calls functions of the user's with copies, and copies what they return.

Such a function may work in place, or return the same buffer at every call. With copies it returns
what a pure function would, and the suite's own tensors stay as they were.
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
    """Call a function; one of the user's gets copies, and its result is copied."""
    if not is_users(function):
        return function(*values, **named)
    return copied(function(*copied(values), **copied(named)))


def copied(value: T) -> T:
    """A copy of all tensors and arrays in a value, through tuples, lists, dicts and dataclasses.

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
