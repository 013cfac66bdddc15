"""Fingerprints of functions that are in no file: from a notebook, a prompt or executed text.

Two functions that compute the same have the same description in every process of one Python
version; an edit of the function, of a function that it calls, or of a value that it reads from
around it, gives another.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import inspect
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
from torch import Tensor, nn

PACKAGE = f"{Path(__file__).parents[1]}{os.sep}"
"""How the paths of the package's own files begin."""
Seen = dict[int, object]
"""Values that are described already, by id; they are held so that no other object gets that id."""


def is_of_no_file(function: Callable[..., Any]) -> bool:
    """Whether a function, or one that it wraps, is from a notebook, a prompt or executed text."""
    inside = innermost(function)
    wrapped = getattr(inside, "__wrapped__", None)
    return not _has_file(inside) or (wrapped is not None and is_of_no_file(wrapped))


def _has_file(definition: Any) -> bool:
    try:
        file = inspect.getfile(definition)
        return file.startswith(PACKAGE) or Path(file).is_file()
    except (OSError, TypeError):
        return False


def innermost(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function that a partial, a bound method or a callable object comes down to."""
    if isinstance(function, functools.partial):
        return innermost(function.func)
    if isinstance(function, MethodType):
        return innermost(function.__func__)
    if isinstance(function, FunctionType):
        return function
    wrapped = getattr(function, "__wrapped__", None) or inspect.getattr_static(
        type(function), "__call__", None
    )
    return innermost(wrapped) if isinstance(wrapped, FunctionType) else function


def definition_fingerprint(function: Callable[..., Any]) -> str:
    """12 hex digits of the hash of a function's code and of every value that it uses."""
    return hashlib.sha256("\n".join(_described(function, {})).encode()).hexdigest()[:12]


def _described(value: Any, seen: Seen) -> Iterator[str]:
    """Lines of text that describe a value completely."""
    if isinstance(value, (type(None), type(...), bool, int, float, complex, str, bytes)):
        yield repr(value)
        return
    if id(value) in seen:
        yield "as before"
        return
    seen[id(value)] = value
    yield type(value).__qualname__
    for kind, parts in PARTS.items():
        if isinstance(value, kind):
            for part in parts(value):
                yield from _described(part, seen)
            return
    yield from _described_object(value, seen)


def _described_object(value: Any, seen: Seen) -> Iterator[str]:
    """An object of a class of the notebook by its attributes, others by their repr."""
    if type(value).__module__ == "__main__":
        yield from _described([type(value), getattr(value, "__dict__", None)], seen)
    elif hasattr(value, "__wrapped__"):
        yield from _described(value.__wrapped__, seen)
    elif " at 0x" not in repr(value):
        yield repr(value)


def _of_function(function: FunctionType) -> Iterator[Any]:
    if _has_file(function):
        yield f"{function.__module__}.{function.__qualname__}"
        yield getattr(function, "__wrapped__", None)
        return
    yield from (function.__code__, function.__defaults__, function.__kwdefaults__)
    for cell in function.__closure__ or ():
        yield _content(cell)
    for name in sorted(set(_globals_of(function.__code__))):
        yield name
        yield function.__globals__.get(name)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # the name has no value yet
        return None


def _globals_of(code: CodeType) -> Iterator[str]:
    """The names that a function, or one within it, reads from its module."""
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _globals_of(constant)


def _of_code(code: CodeType) -> Iterable[Any]:
    counts = code.co_argcount, code.co_kwonlyargcount, code.co_flags
    names = code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
    return (code.co_code, code.co_consts, code.co_exceptiontable, counts, names)


def _of_class(cls: type) -> Iterable[Any]:
    if cls.__module__ != "__main__":
        return (f"{cls.__module__}.{cls.__qualname__}",)
    hidden = ("__dict__", "__weakref__", "__module__", "__doc__")
    return (cls.__bases__, {k: v for k, v in vars(cls).items() if k not in hidden})


def _of_set(values: set[Any] | frozenset[Any]) -> Iterable[str]:
    """The elements in an order that does not depend on the process."""
    return sorted("\n".join(_described(value, {})) for value in values)


def _of_array(array: np.ndarray) -> Iterable[Any]:
    return (str(array.dtype), array.shape, hashlib.sha256(array.tobytes()).hexdigest())


def _of_tensor(tensor: Tensor) -> Iterable[Any]:
    wide = tensor.detach().cpu().double() if tensor.is_floating_point() else tensor.detach().cpu()
    return (str(tensor.dtype), wide.numpy())


PARTS: dict[Any, Callable[[Any], Iterable[Any]]] = {
    functools.partial: lambda p: (p.func, p.args, p.keywords),
    MethodType: lambda m: (m.__func__, m.__self__),
    FunctionType: _of_function,
    CodeType: _of_code,
    ModuleType: lambda m: (m.__name__,),
    type: _of_class,
    (list, tuple): lambda values: values,
    (set, frozenset): _of_set,
    dict: lambda table: [part for item in table.items() for part in item],
    np.ndarray: _of_array,
    Tensor: _of_tensor,
    nn.Module: lambda module: (type(module), module.state_dict(), module.training),
    (property, staticmethod, classmethod): lambda p: (getattr(p, "__func__", None) or p.fget,),
}
"""Functions that give the parts of a value, by its type."""
