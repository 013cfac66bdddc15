"""A prior of my own: log p(z), and how codes are drawn from it.

    vaebench certify my_prior --plugin FILE
    vaebench run study.toml --plugin FILE

with `prior = { name = "my_prior", width = 0.7 }` in the [base] of the study, and an objective
that needs no closed-form KL, such as `elbo_mc` or `iwae`.
"""

from typing import Annotated

import torch

import vaebench as vb


def codes(noise, num_rows, latent, *, width):
    """Codes [S, n, D] drawn from the prior: exponential variables with a random sign."""
    u = 2.0 * vb.uniforms(noise, num_rows, latent.dim).double() - 1.0
    return -vb.with_axis(width) * u.sign() * torch.log1p(-u.abs().clamp_max(1.0 - 1e-9))


# `learned=` names parameters that are trained with the model, and `kl=` gives the KL in closed form
# where there is one: vaebench/models/priors/ has examples of both.
@vb.prior(source="mine", sample=codes)
def my_prior(z, *, width: Annotated[vb.Scalar, vb.Hyper((0.3, 3.0), log=True, low=1e-3)] = 1.0):
    """Independent Laplace variables: codes [K, S, B, D] -> log p(z) [K, S, B] nats."""
    # A hyperparameter is a number, or one for each run: [S, 1]. The sum is over dimensions.
    width = torch.as_tensor(width, dtype=z.dtype)
    return -z.abs().sum(-1) / width - z.shape[-1] * torch.log(2.0 * width)
