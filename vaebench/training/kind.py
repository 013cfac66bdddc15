"""Which runs take the same steps."""

from __future__ import annotations

import msgspec

from vaebench.config import RunConfig
from vaebench.config.sections import digest
from vaebench.data import Dataset
from vaebench.objectives import OBJECTIVES


def step_kind(config: RunConfig, dataset: Dataset) -> str:
    """A hash that runs share where one step of training is the same operations on the same shapes.

    Seeds, scalars and schedules, the number of steps and the images themselves make no other kind.
    """
    objective = OBJECTIVES[config.objective.name]
    return digest(
        {
            "objective": [config.objective.name, *config.objective.hyper],
            "counts": {name: config.objective.hyper[name] for name in objective.counts},
            "posterior": [config.posterior.name, *config.posterior.hyper],
            "prior": config.prior.name,
            "likelihood": config.likelihood.name,
            "model": msgspec.to_builtins(config.model),
            "num_samples": config.num_samples,
            "batch_size": config.train.batch_size,
            "precision": config.train.precision,
            "plugin": config.plugin,
            "image_shape": dataset.image_shape,
            "num_examples": len(dataset.train),
            "log_volume": dataset.log_volume,
        }
    )
