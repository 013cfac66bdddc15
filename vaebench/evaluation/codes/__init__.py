"""What codes tell: dimensions in use, information, and known factors."""

from vaebench.evaluation.codes import aggregate, disentanglement
from vaebench.evaluation.codes import usage as latent

__all__ = ["aggregate", "disentanglement", "latent"]
