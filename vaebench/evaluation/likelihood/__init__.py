"""How likely held-out images are: bounds on log p(x), whether to trust them, and their gaps."""

from vaebench.evaluation.likelihood import annealed, gaps, held_out

__all__ = ["annealed", "gaps", "held_out"]
