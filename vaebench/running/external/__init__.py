"""Models trained elsewhere, graded as this suite's own are, and recorded beside them."""

from vaebench.running.external.entrant import Entrant, read
from vaebench.running.external.grade import estimate_seconds, evaluate, grade

__all__ = ["Entrant", "estimate_seconds", "evaluate", "grade", "read"]
