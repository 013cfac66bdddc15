"""A VAE of counts as in single cells, in plain PyTorch: `vaebench evaluate examples/count_vae.py`.

p(x|z) is negative binomial with the library size of each example taken as known, as in scVI (Lopez
et al. 2018). The loss is the importance-weighted bound, by `vb.loss` in a loop of one's own.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.distributions import Independent, NegativeBinomial, Normal
from torch.nn import functional as F

import vaebench as vb
from vaebench.data import load

LATENT, HIDDEN, NUM_STEPS, BATCH, NUM_SAMPLES = 4, 32, 600, 64, 5
MIN_LOG_SIZE, MAX_LOG_SIZE = -5.0, 20.0
x_train = load("counts", "none", by_library=True).observe("train")
num_genes = x_train.shape[1]

torch.manual_seed(0)
encoder = nn.Sequential(nn.Linear(num_genes, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2 * LATENT))
decoder = nn.Sequential(nn.Linear(LATENT, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2 * num_genes))


def posterior(x: Tensor) -> Independent:
    """q(z|x) of counts [B, genes], which the encoder sees as log(1 + x)."""
    mu, log_var = encoder(torch.log1p(x)).chunk(2, -1)
    return Independent(Normal(mu, torch.exp(0.5 * log_var)), 1)


def log_likelihood(x: Tensor, z: Tensor) -> Tensor:
    """log p(x|z) in nats: [B, genes], [K, B, D] -> [K, B].

    The mean of a gene is its share, by the decoder, of the library size.
    """
    log_share, raw = decoder(z).chunk(2, -1)
    library = x.sum(-1, keepdim=True).clamp_min(1.0) / num_genes
    log_mean = log_share + library.log()
    log_size = MIN_LOG_SIZE - F.logsigmoid(MIN_LOG_SIZE - raw)  # softly above, then below
    log_size = MAX_LOG_SIZE + F.logsigmoid(log_size - MAX_LOG_SIZE)
    law = NegativeBinomial(log_size.exp(), logits=log_mean - log_size)
    return law.log_prob(x).sum(-1)


def fit(batches: Iterable[Tensor]) -> None:
    """Train on minibatches of counts, a step for each."""
    optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3)
    for x in batches:
        q = posterior(x)
        z = q.rsample((NUM_SAMPLES,))
        loss = vb.loss("iwae", q=q, log_px_z=log_likelihood(x, z), z=z)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


fit(x_train[torch.randint(len(x_train), (BATCH,))] for _ in range(NUM_STEPS))

# ------------------------------------------------------------------ for vaebench

name, seed = "counts, own loop", 0
data = {"name": "counts", "library_size": True}
likelihood = "negative_binomial"
encode = posterior
decode = decoder  # codes -> log shares and log sizes; the library size is multiplied there
