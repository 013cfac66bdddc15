"""A population whose aggregate posterior is Gaussian: minibatches of it, as objectives see them.

Examples x ~ N(m, C), C = L L', and an encoder q(z|x) = N(Vx + c, diag(s^2)).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from vaebench.models import VAE, Family, LinearEncoder, build
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.models.posteriors import Latent
from vaebench.models.terms import Terms, compute_terms
from vaebench.ops.noise import Noise, key, normals

LATENT = 3
SMALL, LARGE = 16, 320
"""B: small minibatches show an estimate's bias, large ones what it converges to."""
MINIBATCHES = {LARGE: (12, 4), SMALL: (3, 1280)}
"""B -> number of stacks and of minibatches in each; more at once would fill the memory, by pairs of
examples."""
EXAMPLES_PER_ROW = 2
"""N is this many times B, so that an objective that confuses the two is found."""

TO_X = ((1.0, 0.0, 0.0), (0.6, 0.5, 0.0), (-0.5, 0.2, 0.4))
"""L of x = L e + m, so that C = L L'."""
MEAN_X = (0.3, -0.2, 0.5)
TO_Z = ((0.7, 0.6, -0.4), (-0.5, -0.2, 0.5), (0.4, 0.3, -0.1))
"""V, its rows far from orthogonal: the dimensions of q(z) depend on each other."""
SHIFT_Z = (1.2, -1.6, 0.9)
LOG_VARIANCE = (-0.1, -0.6, -0.4)


def minibatches(num_rows: int) -> Iterator[Terms]:
    """Independent minibatches of the population, side by side as the runs of stacks."""
    num_stacks, num_runs = MINIBATCHES[num_rows]
    for stack in range(num_stacks):
        noise = Noise(tuple(key("aggregate", num_rows, stack, i) for i in range(num_runs)))
        eps = normals(noise.at(step=1), 1, num_rows, len(MEAN_X))[0].double()
        x = eps @ double(TO_X).T + double(MEAN_X)
        yield compute_terms(_model(noise), x, noise, num_examples=EXAMPLES_PER_ROW * num_rows)


def _model(noise: Noise) -> VAE:
    """The encoder of the population, once for each key; the decoder is any."""
    family = Family(LIKELIHOODS["gaussian"], latent=Latent(LATENT))
    sigma = {"sigma": 1.0}
    model = build(
        "linear", family, image_shape=(len(MEAN_X),), widths=(), noise=noise, likelihood_hyper=sigma
    )
    model.double().requires_grad_(False)
    encoder = model.encoder
    assert isinstance(encoder, LinearEncoder)
    encoder.mu.weight.copy_(double(TO_Z).T.expand_as(encoder.mu.weight))
    encoder.mu.bias.copy_(double(SHIFT_Z).expand_as(encoder.mu.bias))
    encoder.rest.copy_(double(LOG_VARIANCE).expand_as(encoder.rest))
    return model


def double(values: object) -> Tensor:
    """The values as a tensor of float64."""
    return torch.tensor(values, dtype=torch.float64)
