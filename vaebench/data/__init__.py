"""Data sets -> tensors with a stated range, split, binarisation and fingerprint."""

from vaebench.data.dataset import PARTS, Dataset, Part, PartName, load

__all__ = ["PARTS", "Dataset", "Part", "PartName", "load"]
