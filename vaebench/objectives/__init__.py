"""One function per objective; a module put into this folder is registered by being here."""

from importlib import import_module
from pkgutil import iter_modules

from vaebench.objectives.entry import (
    OBJECTIVES,
    Auxiliary,
    GradientOf,
    Objective,
    SameAs,
    objective,
)

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = ["OBJECTIVES", "Auxiliary", "GradientOf", "Objective", "SameAs", "objective"]
