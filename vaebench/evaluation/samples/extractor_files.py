"""Extractors from files: TorchScript, torch.export, or a callable of a Python file."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vaebench.core.errors import InputError, first_line
from vaebench.core.sources import load_anew
from vaebench.core.user_code import copied
from vaebench.data import Dataset, colour_axis
from vaebench.evaluation.samples.features import Extractor, digest, fault_of

Function = Callable[[Tensor], Tensor]
Read = tuple[Function, str]
"""A callable, and the fingerprint of a Python file with what it imports."""


class Named(NamedTuple):
    """An extractor's file, and the name of the callable in it where that is a Python file."""

    path: Path
    attribute: str


def named(name: str) -> Named:
    """The file and the attribute that an extractor's name is made of."""
    before, colon, attribute = name.rpartition(":")
    if colon and before.endswith(".py"):
        return Named(Path(before), attribute)
    return Named(Path(name), "")


def _scripted(file: Named) -> Read:
    with warnings.catch_warnings():
        # torch is about to drop TorchScript; files of it are still about.
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.load(file.path, map_location="cpu").eval(), ""


def _exported(file: Named) -> Read:
    from torch import export

    return export.load(file.path).module(), ""


def _defined(file: Named) -> Read:
    module, mark = load_anew(file.path)
    function: Function = getattr(module, file.attribute)
    return (function.eval() if isinstance(function, nn.Module) else function), mark


LOADERS: Mapping[str, Callable[[Named], Read]] = {
    ".pt": _scripted,
    ".pt2": _exported,
    ".py": _defined,
}
"""Functions that read an extractor, by the ending of its file."""


def why_no_file(name: str) -> str:
    """Why a name is not that of an extractor's file, and what to do; "" where it is."""
    file = named(name)
    if file.path.suffix not in LOADERS:
        return (
            "it is no name, and no file that ends in .pt (TorchScript), .pt2 (torch.export) or "
            ".py:NAME"
        )
    if (file.path.suffix == ".py") != bool(file.attribute):
        return "a Python file is followed by the callable in it: FILE.py:NAME"
    return "" if file.path.is_file() else f"there is no file {file.path.resolve()}"


def from_file(name: str, dataset: Dataset) -> Extractor:
    """The callable of a file, with the form of images that it takes.

    It is called with float32 intensities on the CPU, as images [N, C, H, W], or where it does not
    take these as [N, P]; it returns features [N, F]. Raises InputError where the file cannot be
    read or the callable returns something else.
    """
    file = named(name)
    try:
        function, mark = LOADERS[file.path.suffix](file)
    except Exception as error:  # whatever the file's own code raises
        cause = error.__cause__ or error
        raise InputError(
            f"extractor {name!r} must load; it raised {type(cause).__name__}: {cause}"
        ) from error
    form, shaped = _form(name, function, dataset)

    def features(x: Tensor) -> Tensor:
        return copied(function(shaped(x).clone()))

    text = file.path.read_bytes()
    state = function.state_dict() if isinstance(function, nn.Module) else {}
    weights = [w for w in state.values() if isinstance(w, Tensor)]
    return Extractor(
        features,
        ":".join(filter(None, (file.path.name, file.attribute))),
        digest(text, file.attribute, "" if mark == digest(text) else mark, *weights),
        f"intensities {form}",
    )


def _form(name: str, function: Function, dataset: Dataset) -> tuple[str, Function]:
    """The first form of images that the callable takes, tried on two of them."""
    x, faults = dataset.test.images[:2], []
    for form, shaped in _forms(dataset.image_shape).items():
        try:
            with torch.no_grad():
                fault = fault_of(function(shaped(x).clone()), len(x))
        except Exception as error:  # whatever it raises at a wrong shape
            fault = f"{type(error).__name__}: {first_line(error)}"
        if not fault:
            return form, shaped
        faults.append(f"of {form} it gave {fault}")
    raise InputError(
        f"extractor {name!r} must give finite features [N, F] of N images; {'; '.join(faults)}"
    )


def _forms(image_shape: tuple[int, ...]) -> dict[str, Function]:
    """The forms of images that are tried on an extractor, each with the function that makes it."""
    flat: dict[str, Function] = {"[N, P]": lambda x: x}
    match image_shape:
        case (height, width):
            return {"[N, 1, H, W]": lambda x: x.reshape(-1, 1, height, width), **flat}
        case (channels, height, width) if colour_axis(image_shape) == 0:
            return {
                "[N, C, H, W] as stored": lambda x: x.reshape(-1, channels, height, width),
                **flat,
            }
        case (height, width, channels):
            return {
                "[N, C, H, W]": lambda x: x.reshape(-1, height, width, channels).movedim(-1, 1),
                **flat,
            }
        case _:
            return flat
