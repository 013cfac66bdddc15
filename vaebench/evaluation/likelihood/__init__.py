"""How likely held-out images are: bounds on log p(x), whether to trust them, and their gaps.

A module in this folder registers its grading by being here.
"""

from vaebench.core.registry import discover

discover(__name__, __path__)
