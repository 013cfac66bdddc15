"""What decides a run's numbers, from tables of a study to one frozen value."""

from vaebench.config.complete import (
    CHOICES,
    chosen,
    completed,
    evaluation_settings,
    parse,
)
from vaebench.config.convert import convert
from vaebench.config.run import RunConfig, observation_space
from vaebench.config.sections import (
    Choice,
    DataConfig,
    EvaluateConfig,
    ModelConfig,
    TrainConfig,
    digest,
    flat,
)

__all__ = [
    "CHOICES",
    "Choice",
    "DataConfig",
    "EvaluateConfig",
    "ModelConfig",
    "RunConfig",
    "TrainConfig",
    "chosen",
    "completed",
    "convert",
    "digest",
    "evaluation_settings",
    "flat",
    "observation_space",
    "parse",
]
