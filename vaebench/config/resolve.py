"""Configurations held against their data: fingerprints filled in, what does not fit refused."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import msgspec

from vaebench.config import DataConfig, RunConfig, completed
from vaebench.config.build import build_stack, check_networks, check_support, load_data, subject
from vaebench.core.errors import InputError
from vaebench.data import span, unit
from vaebench.evaluation import check
from vaebench.models import MODELS, ImageShape
from vaebench.models.priors import PRIORS


def resolve(configs: Sequence[RunConfig]) -> list[RunConfig]:
    """The configurations with their data's fingerprint, checked against that data.

    Raises InputError for data that cannot be had, values outside the likelihood's support, a batch
    larger than the training part, images that the model does not take, and two runs that are the
    same.
    """
    checked = functools.cache(_checked_data)  # for this call only: the file may change
    resolved = [_resolved(completed(config), checked) for config in configs]
    for config in {c.stack_key: c for c in resolved}.values():
        check_networks(config, load_data(config.data).image_shape)
        _check_gradings(config)
        _check_prior(config)
    if not resolved:
        raise InputError("there must be a run; got no configurations")
    seen: dict[str, RunConfig] = {}
    for config in resolved:
        if config.id in seen:
            raise InputError(
                f"runs must differ; {config.variant} seed {config.seed} is there twice"
            )
        seen[config.id] = config
    return resolved


def _resolved(
    config: RunConfig, checked: Callable[[DataConfig, str], tuple[str, int, ImageShape]]
) -> RunConfig:
    """The configuration with its data's fingerprint; batch and network must fit the images."""
    fingerprint, num_images, image_shape = checked(config.data, config.likelihood.name)
    if config.train.examples_per_step > num_images:
        accumulated = config.train.accumulate > 1
        raise InputError(
            f"train.batch_size{' x train.accumulate' * accumulated} must be at most the "
            f"{num_images} training images; got {config.train.examples_per_step}"
        )
    if reason := MODELS[config.model.name].refuses_images(image_shape, config.model.widths):
        raise InputError(f"model {config.model.name!r} is refused: {reason}")
    data = msgspec.structs.replace(config.data, fingerprint=fingerprint)
    return msgspec.structs.replace(config, data=data)


def _check_gradings(config: RunConfig) -> None:
    """Raises InputError for a grading that the run's model or data cannot be graded by."""
    dataset = load_data(config.data)
    try:
        model = build_stack([config], dataset.image_shape, dataset.log_volume)
    except MemoryError as error:
        raise InputError(f"a model must fit in memory ({error}): make [model] smaller") from error
    check(subject(model, dataset, [config]), config.evaluate.wanted)


def _check_prior(config: RunConfig) -> None:
    """Raises InputError for a prior with pseudo-inputs in [0, 1] where the data go beyond that."""
    name, dataset = config.prior.name, load_data(config.data)
    if PRIORS[name].unit_inputs and not unit(dataset.train.images):
        raise InputError(
            f"prior {name!r} needs data in [0, 1], where its pseudo-inputs are; {dataset.label!r} "
            f"has values {span(dataset.train.images)}: rescale them, or choose another prior"
        )


def _checked_data(data: DataConfig, likelihood: str) -> tuple[str, int, ImageShape]:
    """Fingerprint, number of training images and their shape. Raises InputError.

    The data must be such that the likelihood gives them a probability.
    """
    dataset = load_data(data)
    check_support(dataset, likelihood)
    return dataset.fingerprint, len(dataset.train), dataset.image_shape
