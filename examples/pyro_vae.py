"""A VAE trained with Pyro, graded here: `vaebench evaluate examples/pyro_vae.py`.

What vaebench needs stands at the end; the rest is a model as its author would have it.
"""

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from vaebench.data import load

LATENT, HIDDEN, NUM_STEPS, BATCH = 8, 128, 600, 64
x_train = load("digits", "threshold").observe("train")
num_pixels = x_train.shape[1]

pyro.clear_param_store()
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
        z = pyro.sample("z", dist.Normal(torch.zeros(LATENT), torch.ones(LATENT)).to_event(1))
        pyro.sample("x", dist.Bernoulli(logits=decoder(z)).to_event(1), obs=x)


def guide(x: Tensor) -> None:
    """q(z|x), as Pyro samples it."""
    pyro.module("encoder", encoder)
    with pyro.plate("images", len(x)):
        pyro.sample("z", posterior(x))


svi = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": 1e-3}), pyro.infer.Trace_ELBO())
for _ in range(NUM_STEPS):
    svi.step(x_train[torch.randint(len(x_train), (BATCH,))])

# ------------------------------------------------------------------ for vaebench

name, seed = "Pyro SVI", 0
data = {"name": "digits", "binarisation": "threshold"}
likelihood = "bernoulli"
prior = dist.Normal(torch.zeros(LATENT), torch.ones(LATENT)).to_event(1)
encode = posterior
decode = decoder  # codes -> logits
