"""How likely held-out images are: bounds on log p(x), whether to trust them, and their gaps."""

from vaebench.evaluation.likelihood import annealed, gaps
from vaebench.evaluation.likelihood import held_out as likelihood

__all__ = ["annealed", "gaps", "likelihood"]
