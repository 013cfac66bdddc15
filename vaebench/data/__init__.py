"""Data sets -> tensors with a stated range, split, binarisation and fingerprint."""

from vaebench.data.axes import colour_axis
from vaebench.data.dataset import DRAWS, Dataset, load
from vaebench.data.images import Images, joined, span, unit
from vaebench.data.lookup import is_path, kept_arrays, stored_files
from vaebench.data.parts import PARTS, Part, PartName
from vaebench.data.values import Values

__all__ = [
    "DRAWS",
    "PARTS",
    "Dataset",
    "Images",
    "Part",
    "PartName",
    "Values",
    "colour_axis",
    "is_path",
    "joined",
    "kept_arrays",
    "load",
    "span",
    "stored_files",
    "unit",
]
