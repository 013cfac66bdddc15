"""Terms of arbitrary numbers, for formulas written out by hand."""

import math

from vaebench.models.posteriors import Latent
from vaebench.models.posteriors.gaussian import DiagonalGaussian
from vaebench.models.terms import Terms
from vaebench.ops.noise import Noise, normals

K, S, B, D = 4, 2, 5, 3
N = 20


def numbers(step, *shape):
    return normals(Noise((1,), step=step), 1, math.prod(shape), 1).double().reshape(shape)


def arbitrary_terms():
    """The formulas hold for all numbers."""
    q = DiagonalGaussian(numbers(0, S, B, D), 0.5 * numbers(1, S, B, D))
    z, log_px_z = numbers(2, K, S, B, D), numbers(3, K, S, B) - 5.0
    noise = Noise(tuple(range(S)))
    return Terms(q, z, log_px_z, num_examples=N, latent=Latent(D), noise=noise)


def log_normal(x, mu, log_var):
    return -0.5 * (math.log(2 * math.pi) + log_var + (x - mu) ** 2 / math.exp(log_var))
