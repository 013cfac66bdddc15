"""Data sets -> tensors with a stated range, split, binarisation and fingerprint."""

from vaebench.data.dataset import Dataset, Part, PartName, load

__all__ = ["Dataset", "Part", "PartName", "load"]
