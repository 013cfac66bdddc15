"""Data sets -> tensors with a stated range, split, binarisation and fingerprint."""

from vaebench.data.axes import colour_axis
from vaebench.data.dataset import Dataset, load
from vaebench.data.lookup import is_path
from vaebench.data.parts import PARTS, Part, PartName, in_chunks, span, unit

__all__ = [
    "PARTS",
    "Dataset",
    "Part",
    "PartName",
    "colour_axis",
    "in_chunks",
    "is_path",
    "load",
    "span",
    "unit",
]
