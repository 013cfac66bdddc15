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
    "Entrant": "running.external",
    "EvaluateConfig": "config",
    "GradientOf": "objectives",
    "Hyper": "core.hyper",
    "InputError": "core.errors",
    "ModelConfig": "config",
    "REAL": "models.likelihoods",
    "RunConfig": "config",
    "SameAs": "objectives",
    "Scalar": "core.hyper",
    "Subject": "evaluation",
    "Support": "models.likelihoods",
    "Terms": "models.terms",
    "TrainConfig": "config",
    "densities": "ops.densities",
    "likelihood": "models.likelihoods",
    "examples": "results",
    "Grade": "evaluation",
    "evaluate": "running.external",
    "grading": "evaluation",
    "load": "results",
    "normals": "ops.noise",
    "objective": "objectives",
    "prior": "models.priors",
    "run": "running.harness",
    "uniforms": "ops.noise",
    "with_axis": "core.hyper",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vaebench' has no attribute {name!r}")
    home = import_module(f"vaebench.{_HOMES[name]}")
    return home if name == _HOMES[name].rpartition(".")[2] else getattr(home, name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
