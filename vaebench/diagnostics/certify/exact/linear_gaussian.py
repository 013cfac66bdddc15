"""The linear-Gaussian VAE, whose log p(x), posterior and ELBO are exact.

z ~ N(0, I), x|z ~ N(Wz + b, sigma^2 I), q(z|x) = N(Vx + c, diag(s^2)). With orthogonal columns in W
the true posterior is diagonal, so that q can be exactly right; V, c and s moved away from it make q
wrong in a known way (Lucas et al. 2019).

Expectations are averages over replicas: runs of one model in one stack, each with noise of its own.
The posterior is kept wider than 3/4 of the prior's variance, and a wrong q is wider still: then
p(z) / q(z|x) and the importance weights have four moments, which a standard error stands on.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from vaebench.models import VAE, Family, LinearEncoder, StackedLinear, build, select
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.models.posteriors import Latent
from vaebench.models.posteriors.entry import Wanted
from vaebench.models.terms import Terms, compute_terms
from vaebench.objectives import Objective
from vaebench.ops import densities
from vaebench.ops.noise import Noise, key, normals

PIXELS, LATENT, SIGMA = 5, 3, 2.0
SCALES = (1.0, 0.8, 0.6)
"""Lengths of the columns of W: variances of the posterior of 0.8, 0.86 and 0.92."""
NUM_REPLICAS, NUM_ROWS, NUM_SAMPLES = 1000, 7, 6


def linear_gaussian(
    wrong: float, scales: Sequence[float] = SCALES, num_pixels: int = PIXELS
) -> VAE:
    """The model in float64, one run; q is the true posterior where `wrong` is 0."""
    nowhere = Noise((key("certify"),))
    model = build(
        "linear",
        Family(LIKELIHOODS["gaussian"], latent=Latent(len(scales))),
        image_shape=(num_pixels,),
        widths=(),
        noise=nowhere,
        likelihood_hyper={"sigma": SIGMA},
    ).double()
    model.requires_grad_(False)
    encoder, decoder = model.encoder, model.decoder
    assert isinstance(encoder, LinearEncoder)
    assert isinstance(decoder, StackedLinear)
    columns = torch.linalg.qr(normals(nowhere, 1, num_pixels, len(scales))[0, 0].double()).Q
    weight = columns * torch.tensor(scales, dtype=torch.float64)
    shift = 0.3 * normals(nowhere.at(step=1), 1, 1, num_pixels)[0].double()
    posterior_var = 1.0 / (1.0 + weight.square().sum(0) / SIGMA**2)
    gain = weight * posterior_var / SIGMA**2
    decoder.weight.copy_(weight.T[None])
    decoder.bias.copy_(shift)
    encoder.mu.weight.copy_(gain[None] * (1 - 0.5 * wrong))
    encoder.mu.bias.copy_(0.4 * wrong - shift @ gain)
    encoder.rest.copy_(posterior_var.log().expand_as(encoder.rest) + 0.6 * wrong)
    return model


def exact_log_px(model: VAE, x: Tensor) -> Tensor:
    """log N(x; b, WW' + sigma^2 I): [N, P] -> [N]."""
    assert isinstance(model.decoder, StackedLinear)
    weight, bias = model.decoder.weight[0], model.decoder.bias[0, 0]
    covariance = weight.T @ weight + SIGMA**2 * torch.eye(len(bias), dtype=torch.float64)
    return torch.distributions.MultivariateNormal(bias, covariance).log_prob(x)


def exact_elbo(model: VAE, x: Tensor) -> Tensor:
    """The ELBO in closed form, differentiable: [S, B, P] -> [S, B].

    E_q of the log-likelihood is its value at the mean less what the variance of z adds to it.
    """
    assert isinstance(model.decoder, StackedLinear)
    mu, log_var = model.encoder(x).chunk(2, -1)
    lengths = model.decoder.weight.square().sum(-1)[:, None]  # [S, 1, D]
    spread = (log_var.exp() * lengths).sum(-1) / (2.0 * SIGMA**2)
    return model.log_px_z(x, mu[None])[0] - spread - densities.gaussian_kl(mu, log_var)


def examples() -> Tensor:
    """The examples x on which objectives are checked: [B, P]."""
    noise = Noise((key("certify"),), step=2)
    return SIGMA * normals(noise, 1, NUM_ROWS, PIXELS)[0, 0].double()


def far_examples() -> Tensor:
    """Examples whose rates are some nats: [B, P]; those of `examples()` are below one."""
    return 10.0 * examples()


def replicas(model: VAE, num: int = NUM_REPLICAS, trained: bool = False) -> VAE:
    """A stack of copies of a model of one run; `trained`: with gradients."""
    return select(model, [0] * num).requires_grad_(trained)


def beside(first: VAE, second: VAE) -> VAE:
    """A stack of two models of one run each."""
    both = replicas(first, 2)
    for tensor, other in zip(both.parameters(), second.parameters(), strict=True):
        tensor[1:] = other
    return both


def draws(
    model: VAE,
    x: Tensor,
    num_samples: int = NUM_SAMPLES,
    stream: str = "draws",
    wanted: Wanted = "kl",
) -> Terms:
    """Terms of x [B, P], the same for each run, with noise of each run's own.

    N, the size of the training part, is said to be 100. `wanted`: as in compute_terms.
    """
    return compute_terms(
        model,
        x.expand(model.num_runs, *x.shape),
        Noise(_keys(stream, model.num_runs)),
        num_samples=num_samples,
        num_examples=100,
        training=True,
        wanted=wanted,
    )


@functools.lru_cache(maxsize=8)
def sampled(wrong: float, num_samples: int = NUM_SAMPLES) -> Terms:
    """The replicas' terms of all examples, without gradients: [K, R, B]."""
    model = replicas(linear_gaussian(wrong))
    return draws(model, examples(), num_samples, f"K={num_samples}")


def equipped(terms: Terms, *objectives: Objective) -> Terms:
    """The terms with the auxiliary network, if any, that an objective declares.

    Its weights are fixed and shared by all runs, whatever their number.
    """
    declared = [o.auxiliary for o in objectives if o.auxiliary is not None]
    if not declared:
        return terms
    counter = iter(range(1 << 16))

    def layers(num_inputs: int, num_outputs: int) -> nn.Module:
        layer = skip_init(nn.Linear, num_inputs, num_outputs)
        noise = Noise((key("auxiliary"),), step=next(counter))
        values = normals(noise, 1, num_outputs, num_inputs + 1)[0, 0] / num_inputs**0.5
        layer.weight.data, layer.bias.data = values[:, :-1].contiguous(), values[:, -1].contiguous()
        return layer

    network = declared[0].network(terms.z.shape[-1], layers).requires_grad_(False)
    return replace(terms, auxiliary=network.to(terms.z))


@functools.lru_cache(maxsize=16)
def _keys(stream: str, num: int) -> tuple[int, ...]:
    return tuple(key("certify", stream, run) for run in range(num))
