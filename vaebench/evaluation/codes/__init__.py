"""What codes tell: dimensions in use, information, and known factors."""

from vaebench.evaluation.codes import aggregate, disentanglement, usage

__all__ = ["aggregate", "disentanglement", "usage"]
