"""Benchmark and ablation suite for the objectives of variational autoencoders.

Names resolve on first use, so that `import vaebench` and `vaebench --help` load no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Choice": "config",
    "DataConfig": "config",
    "EvaluateConfig": "config",
    "Hyper": "hyper",
    "InputError": "errors",
    "ModelConfig": "config",
    "RunConfig": "config",
    "SameAs": "objectives",
    "Scalar": "hyper",
    "Terms": "terms",
    "TrainConfig": "config",
    "densities": "densities",
    "likelihood": "likelihoods",
    "load": "results",
    "objective": "objectives",
    "run": "harness",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vaebench' has no attribute {name!r}")
    home = import_module(f"vaebench.{_HOMES[name]}")
    return home if name == _HOMES[name] else getattr(home, name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
