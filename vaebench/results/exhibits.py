"""What of a run is kept to look at: OUT/exhibits/ID.npz, which says itself how to draw it."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from vaebench.core.errors import InputError
from vaebench.results.folder import file_of

ABOUT = "about"
"""The array of the file that holds what is known of the others, as JSON."""
Numbers = NDArray[Any]


class About(Struct, frozen=True, kw_only=True):
    """How to draw and read an exhibit."""

    name: str
    caption: str
    form: Literal["images", "lines", "columns"]
    """`images`: bytes [rows, columns, height, width, 1 or 3]. `lines`: examples [rows, columns,
    P]. `columns`: [figures, data and model, columns of the data]."""
    row_names: tuple[str, ...] = ()


class Exhibit(Struct, frozen=True):
    """Something of a run to look at."""

    about: About
    x: Numbers

    def __post_init__(self) -> None:
        """Raises ValueError where the numbers cannot be drawn as they are said to be."""
        shape, about = self.x.shape, self.about
        fits = {
            "images": self.x.dtype == np.uint8 and len(shape) == 5 and shape[-1] in (1, 3),
            "lines": len(shape) == 3,
            "columns": len(shape) == 3 and shape[1] == 2,
        }[about.form]
        if not fits or 0 in shape or len(about.row_names) not in (0, shape[0]):
            raise ValueError(f"{about.name!r} has shape {shape} and type {self.x.dtype}")


def pack_exhibits(exhibits: Sequence[Exhibit]) -> bytes:
    """The file of a run's exhibits."""
    about = msgspec.json.encode([one.about for one in exhibits])
    buffer = io.BytesIO()
    named = {_array(one.about): one.x for one in exhibits}
    described = {ABOUT: np.frombuffer(about, np.uint8), **named}
    np.savez_compressed(buffer, allow_pickle=False, **described)
    return buffer.getvalue()


def exhibits(out: Path, run: str) -> list[Exhibit]:
    """The exhibits of a run; none where there is no such file. Raises InputError for a damaged
    one."""
    path = file_of(out, "exhibits", run)
    if not path.exists():
        return []
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            about = msgspec.json.decode(stored[ABOUT].tobytes(), type=list[About])
            return [Exhibit(one, stored[_array(one)]) for one in about]
    except (OSError, TypeError, ValueError, KeyError, EOFError) as error:
        raise _damaged(path, error) from error
    except (msgspec.MsgspecError, zipfile.BadZipFile, zlib.error) as error:
        raise _damaged(path, error) from error


def _array(about: About) -> str:
    """The name of its array, which is no argument of savez whatever the exhibit is called."""
    return f"x.{about.name}"


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path} must be what was kept of the run to look at ({error}): delete it, or make it "
        f"again by `vaebench evaluate --keep`"
    )
