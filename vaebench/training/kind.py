"""Which runs take the same steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from vaebench.config import RunConfig
from vaebench.config.compatibility import refusal
from vaebench.config.sections import digest
from vaebench.data import Dataset
from vaebench.objectives import OBJECTIVES, Objective


class General(NamedTuple):
    """The objective of the compiled steps of a run, and the constants at which it is its own."""

    objective: Objective
    constants: Mapping[str, float]


def general(config: RunConfig) -> General:
    """The objective of a run, or the one that it is a case of, where both can be trained."""
    objective = OBJECTIVES[config.objective.name]
    case = objective.case_of
    parts = config.likelihood.name, config.posterior.name, config.prior.name
    if case is None or refusal(case.other, *parts, config.num_samples):
        return General(objective, {})
    return General(OBJECTIVES[case.other], case.at)


def step_kind(config: RunConfig, dataset: Dataset) -> str:
    """A hash that runs share where one step of training is the same operations on the same shapes.

    Seeds, scalars and schedules, the number of steps and the images themselves make no other kind.
    """
    objective, constants = general(config)
    model = msgspec.to_builtins(config.model)
    for name in config.model.left_out:
        del model[name]
    return digest(
        {
            "objective": [objective.name, *constants, *config.objective.hyper],
            "counts": {name: config.objective.hyper[name] for name in objective.counts},
            "posterior": [config.posterior.name, *config.posterior.hyper],
            "prior": config.prior.name,
            **({"layer_weights": len(config.layer_weights)} if config.layer_weights else {}),
            "likelihood": config.likelihood.name,
            "model": model,
            "num_samples": config.num_samples,
            "batch_size": config.train.batch_size,
            "precision": config.train.precision,
            "plugin": config.plugin,
            "image_shape": dataset.image_shape,
            "num_examples": len(dataset.train),
            "log_volume": dataset.log_volume,
            "by_library": dataset.by_library,
        }
    )
