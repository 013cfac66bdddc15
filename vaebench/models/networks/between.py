"""The networks between neighbouring layers of latents: those of a model for such small "images"."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vaebench.models.networks.entry import MODELS
from vaebench.models.networks.sizes import Networks, Sizes
from vaebench.ops.noise import Noise


def sizes_between(dims: Sequence[int]) -> list[Sizes]:
    """What the networks between each two neighbouring layers take and give: upwards the D_l numbers
    of a layer to 2 D_l+1, mean and log-variance of the next, and downwards D_l+1 to 2 D_l."""
    return [
        Sizes((lower,), posterior=2 * upper, code=upper, outputs_per_pixel=2)
        for lower, upper in itertools.pairwise(dims)
    ]


def sizes_between_features(features: Sequence[int]) -> list[Sizes]:
    """What the networks between each two deterministic layers take, and give upwards: all the
    numbers of the next one."""
    return [
        Sizes((lower,), posterior=upper, code=upper, outputs_per_pixel=1)
        for lower, upper in itertools.pairwise(features)
    ]


def networks_between(
    name: str,
    sizes: Sequence[Sizes],
    widths: Sequence[Sequence[int]],
    hyper: Mapping[str, Any],
    noises: Iterator[Noise],
) -> list[Networks]:
    """Up and down networks of S runs, for each two neighbouring layers of these sizes.

    `widths`: the hidden widths of each, from the lower layer to the upper.
    """
    each = zip(sizes, widths, strict=True)
    return [MODELS[name].build(of_pair, hidden, hyper, noises) for of_pair, hidden in each]
