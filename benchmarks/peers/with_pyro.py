"""Pyro's stochastic variational inference, as in its VAE example."""

from __future__ import annotations

from itertools import islice

import pyro
import pyro.distributions as dist
import torch
from pyro.infer import SVI, Trace_ELBO, TraceMeanField_ELBO
from torch import Tensor

from benchmarks.peers.torch_network import Decoder, Encoder, exported, loaded
from benchmarks.peers.work import LEARNING_RATE, Prepared, Work


def trace_elbo(work: Work) -> Prepared:
    """DataLoader and SVI.step with Trace_ELBO, whose KL is sampled; validation switched off."""
    return _svi(work, Trace_ELBO())


def trace_mean_field_elbo(work: Work) -> Prepared:
    """DataLoader and SVI.step with TraceMeanField_ELBO, KL in closed form; validation off."""
    return _svi(work, TraceMeanField_ELBO())


def _svi(work: Work, elbo: Trace_ELBO) -> Prepared:
    pyro.enable_validation(False)
    pyro.clear_param_store()
    pyro.set_rng_seed(work.seed)
    encoder, decoder = Encoder(work.size), Decoder(work.size)
    prior_mu, prior_sigma = torch.zeros(work.size.latent), torch.ones(work.size.latent)

    def model(x: Tensor) -> None:
        pyro.module("decoder", decoder)
        with pyro.plate("images", len(x)):
            z = pyro.sample("z", dist.Normal(prior_mu, prior_sigma).to_event(1))
            pyro.sample("x", dist.Bernoulli(logits=decoder(z)).to_event(1), obs=x)

    def guide(x: Tensor) -> None:
        pyro.module("encoder", encoder)
        with pyro.plate("images", len(x)):
            mu, log_var = encoder(x)
            pyro.sample("z", dist.Normal(mu, torch.exp(0.5 * log_var)).to_event(1))

    svi = SVI(model, guide, pyro.optim.Adam({"lr": LEARNING_RATE}), elbo)
    batches = loaded(work)

    def train(num_steps: int) -> None:
        for x in islice(batches, num_steps):
            svi.step(x)

    return Prepared(train, lambda: exported(encoder, decoder))
