"""A new model of S runs, from the names and sizes of a configuration."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from torch import Tensor, nn

from vaebench.core.hyper import Scalar
from vaebench.models.family import Family
from vaebench.models.networks.between import (
    networks_between,
    sizes_between,
    sizes_between_features,
)
from vaebench.models.networks.deterministic import deterministic_layers
from vaebench.models.networks.entry import MODELS
from vaebench.models.networks.layers import StackedLinear
from vaebench.models.networks.sizes import ImageShape, Networks
from vaebench.models.posteriors import Latent
from vaebench.models.priors import PriorShape
from vaebench.models.vae import VAE
from vaebench.ops.noise import Noise


def build(
    name: str,
    family: Family,
    *,
    image_shape: ImageShape,
    widths: Sequence[int],
    noise: Noise,
    model_hyper: Mapping[str, Any] = MappingProxyType({}),
    likelihood_hyper: Mapping[str, Scalar] = MappingProxyType({}),
    prior_hyper: Mapping[str, Scalar] = MappingProxyType({}),
    log_volume: float = 0.0,
    bfloat16: bool = False,
    by_library: bool = False,
    outputs_at_mean: Tensor | None = None,
) -> VAE:
    """A new VAE of S runs, each initialised from its own key of `noise`.

    `log_volume` is taken off log p(x|z): see `Dataset.log_volume`. `outputs_at_mean`: see
    `Sizes.outputs_at_mean`.
    """
    noises = (noise.at(step=i) for i in itertools.count())

    def layers(num_inputs: int, num_outputs: int) -> StackedLinear:
        return StackedLinear(num_inputs, num_outputs, next(noises))

    sizes = family.sizes(image_shape)._replace(outputs_at_mean=outputs_at_mean)
    encoder, decoder = MODELS[name].build(sizes, widths, model_hyper, noises)
    of_layers = model_hyper if family.latent.layer_model == name else {}
    between = _between(family, of_layers, noises)
    if family.latent.layer_features:
        encoder = _with_features(encoder, family.latent, of_layers, noises)
    shape = PriorShape(family.latent, sizes.pixels, family.num_components)
    learned_prior = {
        # A copy: normals are kept for the next who reads them, and training moves these in place.
        parameter: make(noise.at(step=PRIOR_STEP + i), shape).clone()
        for i, (parameter, make) in enumerate(family.prior.learned.items())
    }
    scalars = likelihood_hyper, prior_hyper
    return VAE(
        (encoder, decoder),
        family,
        between,
        layers,
        learned_prior,
        *scalars,
        log_volume,
        bfloat16,
        by_library,
    )


def _between(
    family: Family, hyper: Mapping[str, Any], noises: Iterator[Noise]
) -> Sequence[Networks]:
    """The networks between neighbouring layers of latents, where posterior or prior has layers."""
    if not family.directions:
        return ()
    latent, sizes = family.latent, sizes_between(family.latent.layers)
    return networks_between(latent.layer_model, sizes, latent.widths_between, hyper, noises)


def _with_features(
    encoder: nn.Module, latent: Latent, hyper: Mapping[str, Any], noises: Iterator[Noise]
) -> nn.Module:
    """An encoder of the first deterministic layer, with those above it."""
    name, features = latent.layer_model, latent.layer_features
    sizes = sizes_between_features(features)
    pairs = networks_between(name, sizes, latent.widths_between, hyper, noises)
    upwards = [up for up, _ in pairs]
    normalised = MODELS[name].normalises(hyper)
    return deterministic_layers(
        encoder, latent.layers, features, upwards, noises, normalised=normalised
    )


PRIOR_STEP = 1 << 20
"""The step of the noise for a prior's initial values, beyond the steps of any layer."""
