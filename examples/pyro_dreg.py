"""A Pyro model trained by an estimator of the suite: `vaebench evaluate examples/pyro_dreg.py`.

Pyro's SVI takes any function of model and guide as its loss; here it is the doubly reparameterised
estimator of the importance-weighted bound, which Pyro has not.
"""

from collections.abc import Callable, Iterable

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from torch import Tensor, nn

import vaebench as vb
from vaebench.data import load

LATENT, HIDDEN, NUM_STEPS, BATCH, NUM_SAMPLES = 4, 32, 600, 64, 5
x_train = load("digits", "threshold").observe("train")
num_pixels = x_train.shape[1]

pyro.set_rng_seed(0)
encoder = nn.Sequential(nn.Linear(num_pixels, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2 * LATENT))
decoder = nn.Sequential(nn.Linear(LATENT, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, num_pixels))


def posterior(x: Tensor) -> dist.TorchDistribution:
    """q(z|x)."""
    mu, log_var = encoder(x).chunk(2, -1)
    return dist.Normal(mu, torch.exp(0.5 * log_var)).to_event(1)


def model(x: Tensor) -> None:
    """p(x, z)."""
    pyro.module("decoder", decoder)
    with pyro.plate("images", len(x)):
        prior = dist.Normal(x.new_zeros(LATENT), x.new_ones(LATENT)).to_event(1)
        z = pyro.sample("z", prior)
        pyro.sample("x", dist.Bernoulli(logits=decoder(z)).to_event(1), obs=x)


def guide(x: Tensor) -> dist.TorchDistribution:
    """q(z|x), as Pyro samples it."""
    pyro.module("encoder", encoder)
    q = posterior(x)
    with pyro.plate("images", len(x)):
        pyro.sample("z", q)
    return q


def dreg(model: Callable[..., None], guide: Callable[..., dist.Distribution], x: Tensor) -> Tensor:
    """The loss of a minibatch, as SVI takes one: K samples of the guide, one pass of the model."""
    samples = pyro.plate("samples", NUM_SAMPLES, dim=-2)
    drawn = poutine.trace(samples(guide)).get_trace(x)
    seen = poutine.trace(poutine.replay(samples(model), trace=drawn)).get_trace(x)
    seen.compute_log_prob()
    return vb.loss(
        "dreg",
        q=drawn.nodes["_RETURN"]["value"],
        log_px_z=seen.nodes["x"]["log_prob"],
        z=drawn.nodes["z"]["value"],
        prior=seen.nodes["z"]["log_prob"],
    )


def fit(batches: Iterable[Tensor]) -> None:
    """Train on minibatches, a step for each."""
    pyro.clear_param_store()
    svi = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": 1e-3}), dreg)
    for x in batches:
        svi.step(x)


fit(x_train[torch.randint(len(x_train), (BATCH,))] for _ in range(NUM_STEPS))

# ------------------------------------------------------------------ for vaebench

name, seed = "Pyro, DReG", 0
data = {"name": "digits", "binarisation": "threshold"}
likelihood = "bernoulli"
prior = dist.Normal(torch.zeros(LATENT), torch.ones(LATENT)).to_event(1)
encode = posterior
decode = decoder  # codes -> logits
