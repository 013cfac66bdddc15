"""Data sets -> tensors with a stated range, split, binarisation and fingerprint."""

from vaebench.data.dataset import PARTS, Dataset, Part, PartName, load
from vaebench.data.lookup import is_path

__all__ = ["PARTS", "Dataset", "Part", "PartName", "is_path", "load"]
