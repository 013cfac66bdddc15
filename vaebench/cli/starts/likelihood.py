"""A likelihood of my own: log p(x|z), with all of its constants.

    vaebench certify my_likelihood --plugin FILE
    vaebench run study.toml --plugin FILE

with `likelihood = { name = "my_likelihood", width = 0.05 }` in the [base] of the study.
"""

from typing import Annotated

import torch
from torch.nn.functional import softplus

import vaebench as vb


def drawn(out, noise, *, width):
    """Images [K, S, B, P] drawn from p(x|z): the inverse of the distribution function."""
    # Random numbers are functions of `noise`, never of a state, so that runs do not mix.
    num_samples, _, num_rows, num_pixels = out.shape
    each = [
        vb.uniforms(noise.at(sample=noise.first_sample + k), num_rows, num_pixels)
        for k in range(num_samples)
    ]
    u = torch.stack(each).to(out).clamp(1e-6, 1.0 - 1e-6)
    return out + vb.with_axis(width) * (u.log() - (-u).log1p())


@vb.likelihood(
    source="mine",
    # Whether it gives probabilities ("mass", as Bernoulli) or a density (as Gaussian): the two
    # are never ranked together.
    measure="density",
    # Which values x may have; data with others are refused.
    support=vb.REAL,
    # The mean of p(x|z), from the decoder's output.
    mean=lambda out: out,
    # Without `sample` there are no images from the model itself, only their means.
    sample=drawn,
)
def my_likelihood(
    x, out, *, width: Annotated[vb.Scalar, vb.Hyper((0.02, 1.0), log=True, low=1e-3)] = 0.1
):
    """Logistic pixels: x [S, B, P], decoder output [K, S, B, P] -> log p(x|z) [K, S, B] nats."""
    # A hyperparameter is a number, or one for each run, [S, 1]: with_axis puts it beside [S, B, P].
    width = vb.with_axis(torch.as_tensor(width, dtype=out.dtype))
    away = (x - out) / width
    return -(away + 2.0 * softplus(-away) + width.log()).sum(-1)  # the sum is over pixels
