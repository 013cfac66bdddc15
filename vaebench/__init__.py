"""Benchmark and ablation suite for the objectives of variational autoencoders.

Names resolve on first use, so that `import vaebench` and `vaebench --help` load no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vaebench.core.collector import paused

if TYPE_CHECKING:  # for type checkers and editors, which cannot resolve names on use
    from vaebench.config import Choice as Choice
    from vaebench.config import DataConfig as DataConfig
    from vaebench.config import EvaluateConfig as EvaluateConfig
    from vaebench.config import ModelConfig as ModelConfig
    from vaebench.config import RunConfig as RunConfig
    from vaebench.config import TrainConfig as TrainConfig
    from vaebench.config.given_arrays import dataset as dataset
    from vaebench.config.schedules import schedule as schedule
    from vaebench.core.about import About as About
    from vaebench.core.about import Limit as Limit
    from vaebench.core.errors import InputError as InputError
    from vaebench.core.hyper import Hyper as Hyper
    from vaebench.core.hyper import Scalar as Scalar
    from vaebench.core.hyper import with_axis as with_axis
    from vaebench.evaluation import Grade as Grade
    from vaebench.evaluation import Subject as Subject
    from vaebench.evaluation.exhibits import exhibit as exhibit
    from vaebench.evaluation.grading import grading as grading
    from vaebench.models.likelihoods import REAL as REAL
    from vaebench.models.likelihoods import Support as Support
    from vaebench.models.likelihoods import likelihood as likelihood
    from vaebench.models.networks import Sizes as Sizes
    from vaebench.models.networks import model as model
    from vaebench.models.posteriors import posterior as posterior
    from vaebench.models.priors import prior as prior
    from vaebench.models.terms import Terms as Terms
    from vaebench.objectives import Auxiliary as Auxiliary
    from vaebench.objectives import GradientOf as GradientOf
    from vaebench.objectives import SameAs as SameAs
    from vaebench.objectives import objective as objective
    from vaebench.objectives.elsewhere import loss as loss
    from vaebench.ops import densities as densities
    from vaebench.ops.noise import normals as normals
    from vaebench.ops.noise import uniforms as uniforms
    from vaebench.results import examples as examples
    from vaebench.results import load as load
    from vaebench.running.bundle import export as export
    from vaebench.running.external import Entrant as Entrant
    from vaebench.running.external import evaluate as evaluate
    from vaebench.running.harness import run as run
    from vaebench.running.listeners import Listener as Listener
    from vaebench.running.listeners import listener as listener
    from vaebench.running.restoring import load_model as load_model
    from vaebench.running.trained import TrainedModel as TrainedModel

__version__ = "0.1.0"

_HOMES = {
    "About": "core.about",
    "Auxiliary": "objectives",
    "Choice": "config",
    "DataConfig": "config",
    "dataset": "config.given_arrays",
    "densities": "ops.densities",
    "Entrant": "running.external",
    "evaluate": "running.external",
    "EvaluateConfig": "config",
    "examples": "results",
    "export": "running.bundle",
    "exhibit": "evaluation.exhibits",
    "Grade": "evaluation",
    "GradientOf": "objectives",
    "grading": "evaluation",
    "Hyper": "core.hyper",
    "InputError": "core.errors",
    "Limit": "core.about",
    "likelihood": "models.likelihoods",
    "listener": "running.listeners",
    "Listener": "running.listeners",
    "load": "results",
    "load_model": "running.restoring",
    "loss": "objectives.elsewhere",
    "model": "models.networks",
    "ModelConfig": "config",
    "normals": "ops.noise",
    "objective": "objectives",
    "posterior": "models.posteriors",
    "prior": "models.priors",
    "REAL": "models.likelihoods",
    "run": "running.harness",
    "RunConfig": "config",
    "SameAs": "objectives",
    "Scalar": "core.hyper",
    "schedule": "config.schedules",
    "Sizes": "models.networks",
    "Subject": "evaluation",
    "Support": "models.likelihoods",
    "Terms": "models.terms",
    "TrainConfig": "config",
    "TrainedModel": "running.trained",
    "uniforms": "ops.noise",
    "with_axis": "core.hyper",
}
__all__ = sorted(_HOMES)


if not TYPE_CHECKING:  # where they would find every name, even a misspelt one

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module 'vaebench' has no attribute {name!r}")
        with paused():
            home = import_module(f"vaebench.{_HOMES[name]}")
        return home if name == _HOMES[name].rpartition(".")[2] else getattr(home, name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
