"""The registered functions that a run is made of, and the fingerprint of those of a user."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vaebench.config.run_config import RunConfig
from vaebench.config.schedules import SCHEDULES
from vaebench.config.sections import Choice
from vaebench.core.hyper import source_fingerprint
from vaebench.evaluation import GRADINGS
from vaebench.models import MODELS
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.models.posteriors import POSTERIORS
from vaebench.models.priors import PRIORS
from vaebench.objectives import OBJECTIVES


def plugin_fingerprint(config: RunConfig) -> str:
    """The fingerprint of the users' files that define its functions, with what they import.

    It is "" where all functions are the package's.
    """
    fingerprints = map(source_fingerprint, functions_of(config))
    return "+".join(dict.fromkeys(filter(None, fingerprints)))


def functions_of(config: RunConfig) -> list[Callable[..., Any]]:
    """The registered functions that a run is made of."""
    gradings = [GRADINGS[name].grade for name in config.evaluate.wanted]
    return [*functions_of_steps(config), *gradings]


def functions_of_steps(config: RunConfig) -> list[Callable[..., Any]]:
    """The registered functions that the training steps of a run are made of."""
    scalars = [
        *config.objective.hyper.values(),
        *config.posterior.hyper.values(),
        *config.rate_weights,
        config.train.learning_rate,
    ]
    return [
        OBJECTIVES[config.objective.name].loss,
        LIKELIHOODS[config.likelihood.name].log_prob,
        PRIORS[config.prior.name].log_prob,
        POSTERIORS[config.posterior.name].distribution,
        MODELS[config.model.name].networks,
        *([MODELS[config.model.layer_model].networks] if config.model.layer_dims else []),
        *(SCHEDULES[value.name].value for value in scalars if isinstance(value, Choice)),
    ]
