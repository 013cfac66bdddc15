"""A prior that is a torch.distributions object, as the evaluation sees it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution as TorchDistribution

from vaebench.core.errors import InputError
from vaebench.models.posteriors import Latent
from vaebench.models.priors import BoundPrior, Prior
from vaebench.ops.noise import Noise, key
from vaebench.running.external.model import called


def from_torch(prior: TorchDistribution) -> BoundPrior:
    """A prior that is a torch.distributions object over a code, or over each of its numbers.

    Raises InputError for a batch of distributions over codes.
    """
    over_codes = len(prior.event_shape) > 0
    if over_codes and prior.batch_shape:
        raise InputError(
            f"a prior must be one distribution over z; got a batch of shape "
            f"{tuple(prior.batch_shape)}: give one of them"
        )
    shape = prior.batch_shape + prior.event_shape
    with torch.random.fork_rng(devices=[]):
        like = prior.sample()  # for its precision and its device

    def log_prob(z: Tensor) -> Tensor:
        if shape and shape[-1] != z.shape[-1]:
            raise InputError(
                f"the prior must be over the {z.shape[-1]} numbers of a code; it is over "
                f"{shape[-1]}"
            )
        finite = z.isfinite().all(-1)
        # The distributions of torch raise for NaN, which a rejected proposal may hold.
        real = torch.where(finite[..., None], z, 0.0).to(like)
        log_pz = called("the prior's log_prob", prior.log_prob, real).to(z)
        return torch.where(finite, log_pz if over_codes else log_pz.sum(-1), torch.nan)

    def sample(noise: Noise, num_rows: int, latent: Latent) -> Tensor:
        seed = key(*noise.keys, noise.step, noise.first_sample, noise.first_row)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            drawn = prior.sample(torch.Size([num_rows] if shape else [num_rows, latent.dim]))
        return drawn.clone()[None]

    return BoundPrior(Prior("given", log_prob, "given", sample), {})
