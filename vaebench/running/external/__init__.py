"""Models trained elsewhere, graded as this suite's own are, and recorded beside them."""

from vaebench.running.external.entrant import Entrant, evaluate, foretell, grade, read

__all__ = ["Entrant", "evaluate", "foretell", "grade", "read"]
