"""Data sets -> tensors with a stated range, split, binarisation and fingerprint."""

from vaebench.data.axes import colour_axis
from vaebench.data.dataset import DRAWS, Dataset, load
from vaebench.data.images import Images, joined, span, unit
from vaebench.data.lookup import file_of, is_path
from vaebench.data.parts import PARTS, Part, PartName

__all__ = [
    "DRAWS",
    "PARTS",
    "Dataset",
    "Images",
    "Part",
    "PartName",
    "colour_axis",
    "file_of",
    "is_path",
    "joined",
    "load",
    "span",
    "unit",
]
