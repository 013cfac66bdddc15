"""One function per objective; a module put into this folder is registered by being here."""

from vaebench.core.registry import discover
from vaebench.objectives.entry import (
    OBJECTIVES,
    Auxiliary,
    Case,
    GradientOf,
    Objective,
    SameAs,
    objective,
)

discover(__name__, __path__)

__all__ = ["OBJECTIVES", "Auxiliary", "Case", "GradientOf", "Objective", "SameAs", "objective"]
