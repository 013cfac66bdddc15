"""Benchmark and ablation suite for the objectives of variational autoencoders.

Names resolve on first use, so that `import vaebench` and `vaebench --help` load no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Auxiliary": "objectives",
    "Choice": "config",
    "DataConfig": "config",
    "Entrant": "given",
    "EvaluateConfig": "config",
    "GradientOf": "objectives",
    "Hyper": "hyper",
    "InputError": "errors",
    "ModelConfig": "config",
    "REAL": "likelihoods",
    "RunConfig": "config",
    "SameAs": "objectives",
    "Scalar": "hyper",
    "Subject": "evaluation",
    "Support": "likelihoods",
    "Terms": "terms",
    "TrainConfig": "config",
    "densities": "densities",
    "likelihood": "likelihoods",
    "examples": "results",
    "Grade": "evaluation",
    "evaluate": "given",
    "grading": "evaluation",
    "load": "results",
    "normals": "noise",
    "objective": "objectives",
    "prior": "priors",
    "run": "harness",
    "uniforms": "noise",
    "with_axis": "hyper",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vaebench' has no attribute {name!r}")
    home = import_module(f"vaebench.{_HOMES[name]}")
    return home if name == _HOMES[name] else getattr(home, name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
