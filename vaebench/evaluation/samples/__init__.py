"""Images of a model beside held-out ones: distances, neighbours and a two-sample test."""

from vaebench.evaluation.samples import quality, two_sample

__all__ = ["quality", "two_sample"]
