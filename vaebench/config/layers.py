"""The layers of a hierarchy of latents in a configuration, completed and checked."""

from __future__ import annotations

import itertools

import msgspec

from vaebench.config.run_config import RunConfig
from vaebench.config.sections import ModelConfig
from vaebench.core.errors import InputError
from vaebench.core.hyper import complete
from vaebench.models import MODELS
from vaebench.models.posteriors import POSTERIORS, Posterior
from vaebench.models.priors import PRIORS, Prior


def completed_layers(model: ModelConfig, posterior: Posterior, prior: Prior) -> ModelConfig:
    """The model with the dimensions of its layers and the widths of the networks between them.

    Raises InputError for layers that no posterior or prior has, dimensions that are not those of
    the code, and networks that do not fit the layers.
    """
    if not (posterior.conditionals or prior.layered):
        _check_no_layers(model, posterior, prior)
        return model
    dims = model.latent.layers
    if model.latent_dim not in (sum(dims), ModelConfig().latent_dim):
        raise InputError(
            f"model.latent_dim must be the sum of model.layer_dims {list(dims)}; got "
            f"{model.latent_dim}: leave it out"
        )
    widths = model.layer_widths or _usual_widths(model, len(dims) - 1)
    done = msgspec.structs.replace(
        model, latent_dim=sum(dims), layer_dims=dims, layer_widths=widths
    )
    _check_networks(done)
    _check_features(done, posterior)
    return done


def check_weights(config: RunConfig) -> None:
    """Raises InputError for weights of layers that are no weight for each of several layers."""
    num_weights, dims = len(config.layer_weights), config.model.layer_dims
    if not isinstance(config.rate_weight, tuple):
        return
    posterior, prior = POSTERIORS[config.posterior.name], PRIORS[config.prior.name]
    if not (posterior.conditionals and prior.layered):
        raise InputError(
            f"rate_weight may have a weight for each layer where posterior and prior both have "
            f"layers; got posterior {posterior.name!r} and prior {prior.name!r}: give one number"
        )
    if num_weights != len(dims):
        raise InputError(
            f"rate_weight must be one number or schedule, or one for each of the layers "
            f"{list(dims)}; got {num_weights}"
        )


def _check_no_layers(model: ModelConfig, posterior: Posterior, prior: Prior) -> None:
    usual = model.left_out
    for name in model.__struct_fields__:
        if name.startswith("layer_") and name not in usual:
            layered = [n for n, entry in POSTERIORS.items() if entry.conditionals]
            priors = [n for n, entry in PRIORS.items() if entry.layered]
            raise InputError(
                f"model.{name} is for posterior {' or '.join(map(repr, layered))} or prior "
                f"{' or '.join(map(repr, priors))}; posterior {posterior.name!r} and prior "
                f"{prior.name!r} have one layer: remove it, or choose them"
            )


def _usual_widths(model: ModelConfig, num_networks: int) -> tuple[tuple[int, ...], ...]:
    """The widths of the model itself, where the networks between layers take such."""
    entry = MODELS[model.layer_model]
    fit = entry.takes_widths and not entry.refuses_widths(model.widths)
    return (model.widths if fit else (),) * num_networks


def _check_networks(model: ModelConfig) -> None:
    entry, what = MODELS[model.layer_model], f"model.layer_model {model.layer_model!r}"
    dims, widths = model.layer_dims, model.layer_widths
    if len(widths) != len(dims) - 1:
        raise InputError(
            f"model.layer_widths must have the widths of {len(dims) - 1} networks, one between "
            f"each two of the layers {list(dims)}; got {len(widths)}: {_shown(widths)}"
        )
    if model.layer_model != model.name:
        complete(what, entry.hyper, {})
    for (lower, upper), of_pair in zip(itertools.pairwise(dims), widths, strict=True):
        where = f"between layers of {lower} and {upper}"
        if of_pair and not entry.takes_widths:
            raise InputError(
                f"{what} takes no widths; got {list(of_pair)} {where}: leave layer_widths out"
            )
        if reason := entry.refuses_widths(of_pair):
            raise InputError(f"{what} is refused {where}: {reason}")
        if entry.refuses_images((lower,), of_pair):
            raise InputError(
                f"{what} is refused {where}: it needs images, and a layer of latents is a row of "
                f"numbers: choose 'mlp' there; the first and the last network, of model.name, may "
                f"be {model.layer_model!r}"
            )


def _check_features(model: ModelConfig, posterior: Posterior) -> None:
    features, dims = model.layer_features, model.layer_dims
    if not features:
        return
    if posterior.conditionals != "down":
        top_down = [name for name, entry in POSTERIORS.items() if entry.conditionals == "down"]
        raise InputError(
            f"model.layer_features is for posterior {' or '.join(map(repr, top_down))}, whose "
            f"encoder says something of every layer; that of {posterior.name!r} leads to the first "
            f"alone: leave it out"
        )
    if len(features) != len(dims):
        raise InputError(
            f"model.layer_features must have the numbers of {len(dims)} deterministic layers, one "
            f"for each of the layers {list(dims)}; got {len(features)}: {list(features)}"
        )


def _shown(widths: tuple[tuple[int, ...], ...]) -> str:
    return str([list(of_pair) for of_pair in widths])
