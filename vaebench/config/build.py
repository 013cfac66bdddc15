"""Builds what a stack of runs starts from: model, data, streams of random numbers, evaluation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vaebench.config import Choice, DataConfig, EvaluateConfig, RunConfig
from vaebench.core.errors import InputError
from vaebench.core.user_code import is_users
from vaebench.data import PARTS, Dataset, load
from vaebench.evaluation import Graded, Subject
from vaebench.models import MODELS, VAE, Family, ImageShape, build
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.models.likelihoods.counts import library_size
from vaebench.models.networks import trial
from vaebench.models.networks.between import sizes_between, sizes_between_features
from vaebench.models.posteriors import POSTERIORS
from vaebench.models.priors import PRIORS
from vaebench.objectives import OBJECTIVES
from vaebench.ops.noise import Noise, key


def streams(configs: Sequence[RunConfig], name: str) -> Noise:
    """The random numbers of each run for one purpose, `name`. Runs with one seed share them."""
    return Noise(tuple(key(c.seed, name) for c in configs))


def build_stack(
    configs: Sequence[RunConfig],
    image_shape: ImageShape,
    log_volume: float = 0.0,
    outputs_at_mean: Tensor | None = None,
) -> VAE:
    """A new model for the stack, each run initialised from its own seed.

    `log_volume`: see `Dataset.log_volume`; it is 0 for data that are not dequantised.
    `outputs_at_mean`: see the function of that name; a model whose weights are to be replaced needs
    none.
    """
    first = configs[0]
    return build(
        first.model.name,
        family_of(first),
        image_shape=image_shape,
        widths=first.model.widths,
        noise=streams(configs, "init"),
        model_hyper=first.model.hyper,
        likelihood_hyper=_stacked([c.likelihood for c in configs]),
        prior_hyper=_stacked([c.prior for c in configs]),
        log_volume=log_volume,
        bfloat16=first.train.precision == "bfloat16",
        by_library=first.data.library_size,
        outputs_at_mean=outputs_at_mean,
    )


def outputs_at_mean(config: RunConfig, dataset: Dataset) -> Tensor | None:
    """The decoder's numbers [n P] at which p(x|z) has the mean of the training images; None where
    the run's model does not start there.

    Of images that are binarised anew in each epoch it is the mean of their intensities; of counts
    whose library sizes are known, what these multiply.
    """
    if not MODELS[config.model.name].starts_at_data(config.model.hyper):
        return None
    outputs_at = LIKELIHOODS[config.likelihood.name].outputs_at
    assert outputs_at is not None, "the configuration allows likelihoods alone that declare it"
    drawn = dataset.binarisation == "dynamic"
    images = dataset.train.images if drawn else dataset.observations("train")
    sums = torch.stack([chunk.double().sum(0) for chunk in images.chunks()]).sum(0)
    num = float(len(images))
    if dataset.by_library:
        num = sum(float(library_size(chunk.double()).sum()) for chunk in images.chunks())
    return outputs_at((sums / num).float())


def family_of(config: RunConfig) -> Family:
    """The distributions of a run's model."""
    auxiliary = OBJECTIVES[config.objective.name].auxiliary
    return Family(
        LIKELIHOODS[config.likelihood.name],
        POSTERIORS[config.posterior.name],
        PRIORS[config.prior.name],
        config.model.latent,
        config.model.num_components,
        auxiliary.network if auxiliary else None,
    )


def check_networks(config: RunConfig, image_shape: ImageShape) -> None:
    """Raises InputError where a user's model cannot be trained in stacks, or graded."""
    model, entry = config.model, MODELS[config.model.name]
    if is_users(entry.networks):
        sizes = family_of(config).sizes(image_shape)
        trial.check(entry, sizes, model.widths, model.hyper)
    between = MODELS[model.layer_model]
    if model.layer_dims and is_users(between.networks):
        hyper = model.hyper if model.layer_model == model.name else {}
        of_latents = sizes_between(model.layer_dims)
        of_features = sizes_between_features(model.layer_features)
        for all_sizes in filter(None, (of_latents, of_features)):
            for sizes, widths in zip(all_sizes, model.layer_widths, strict=True):
                trial.check(between, sizes, widths, hyper)


def _stacked(choices: Sequence[Choice]) -> dict[str, Tensor]:
    """The hyperparameters of all runs, by name: [S, 1] each."""
    return {
        name: torch.tensor([[choice.hyper[name]] for choice in choices], dtype=torch.float64)
        for name in choices[0].hyper
    }


def subject(model: VAE, dataset: Dataset, configs: Sequence[RunConfig]) -> Subject:
    """The stack of these runs as gradings take it, with the first run's evaluation settings."""
    return subject_by(configs[0].evaluate, model, dataset, streams(configs, "evaluate"))


def subject_by(settings: EvaluateConfig, model: Graded, dataset: Dataset, noise: Noise) -> Subject:
    """Models as gradings take them, with the settings of an evaluation."""
    return Subject(
        model,
        dataset,
        noise,
        num_samples=settings.num_samples,
        num_images=settings.num_images,
        extractor=settings.extractor,
    )


def load_data(data: DataConfig) -> Dataset:
    """Load a data set. Raises InputError where its bytes changed since the study was read."""
    dataset = load(
        data.name,
        data.binarisation,
        data.valid_fraction,
        data.split_seed,
        data.dequantise,
        values=data.values,
        columns=data.columns,
        test_fraction=data.test_fraction,
        standardise=data.standardise,
        by_library=data.library_size,
    )
    if data.fingerprint not in ("", dataset.fingerprint):
        raise InputError(
            f"data set {data.name!r} must have fingerprint {data.fingerprint}; "
            f"it has {dataset.fingerprint}: it changed since the study was read"
        )
    return dataset


def check_support(dataset: Dataset, likelihood: str) -> None:
    """Raises InputError for observations of any part that the likelihood gives no probability."""
    observed = "dequantised" if dataset.dequantised else dataset.binarisation
    for part in PARTS:
        described = f"{dataset.label!r} ({part}) with binarisation {observed!r}"
        observations = dataset.observations(part)
        try:
            LIKELIHOODS[likelihood].check_support(observations, described)
        except InputError as error:
            fitting = [name for name, entry in LIKELIHOODS.items() if entry.supports(observations)]
            raise InputError(f"{error}. Likelihoods of such: {', '.join(fitting)}") from error
