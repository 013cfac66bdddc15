"""What codes tell: dimensions in use, information, and known factors.

A module in this folder registers its grading by being here.
"""

from vaebench.core.registry import discover

discover(__name__, __path__)
