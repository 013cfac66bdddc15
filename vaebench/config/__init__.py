"""Configurations: from the tables of a study to one frozen value that decides a run's numbers."""

from vaebench.config.complete import (
    chosen,
    completed,
    evaluation_settings,
    parse,
)
from vaebench.config.convert import convert
from vaebench.config.functions import functions_of, plugin_fingerprint
from vaebench.config.places import CHOICES, SECTIONS, by_place, value_at, with_value
from vaebench.config.run_config import RunConfig, observation_space
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
    "SECTIONS",
    "Choice",
    "DataConfig",
    "EvaluateConfig",
    "ModelConfig",
    "RunConfig",
    "TrainConfig",
    "by_place",
    "chosen",
    "completed",
    "convert",
    "digest",
    "evaluation_settings",
    "flat",
    "functions_of",
    "observation_space",
    "parse",
    "plugin_fingerprint",
    "value_at",
    "with_value",
]
