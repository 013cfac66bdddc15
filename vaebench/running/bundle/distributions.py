"""q(z|x) and p(z) of a run as source, by torch.distributions.

Layers of latents and flows have files of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from vaebench.core.errors import InputError
from vaebench.core.user_code import is_users
from vaebench.models import VAE
from vaebench.running.bundle import flows, layered
from vaebench.running.bundle.law import Law

OF_GAUSSIAN = """\
mu, log_var = numbers.chunk(2, -1)
return distributions.Independent(distributions.Normal(mu, torch.exp(0.5 * log_var)), 1)
"""
OF_FULL_GAUSSIAN = """\
mu, log_var, below = numbers.split([{dim}, {dim}, {below}], -1)
rows, columns = torch.tril_indices({dim}, {dim}, -1)
unit = torch.eye({dim}).to(mu).repeat(*mu.shape[:-1], 1, 1)
unit[..., rows, columns] = below
scale_tril = torch.exp(0.5 * log_var)[..., None] * unit
return distributions.MultivariateNormal(mu, scale_tril=scale_tril)
"""
OF_CODES = """\
logits = numbers.unflatten(-1, ({dim}, {num_classes}))
one_hot = distributions.Independent(distributions.OneHotCategorical(logits=logits), 1)
side_by_side = distributions.transforms.ReshapeTransform(logits.shape[-2:], numbers.shape[-1:])
return distributions.TransformedDistribution(one_hot, side_by_side)
"""
STANDARD = """\
normal = distributions.Normal(torch.zeros_like(self.mu), torch.ones_like(self.mu))
return distributions.Independent(normal, 1)
"""
MIXTURE = """\
each = distributions.Normal(self.mu, torch.exp(0.5 * self.log_var))
return distributions.MixtureSameFamily(
    distributions.Categorical(logits=self.scores), distributions.Independent(each, 1)
)
"""
MIXED = ("diagonal_gaussian", "full_gaussian")
"""The posteriors of which a VampPrior is a mixture."""
VAMP = """\
even = distributions.Categorical(logits=torch.zeros_like(self.numbers[:, 0]))
return distributions.MixtureSameFamily(even, posterior(self.numbers))
"""
CODES = """\
return posterior(self.scores)
"""


def _of_encoder(body: str) -> Callable[[VAE], Law]:
    """q(z|x) of the encoder's numbers alone."""

    def law(model: VAE) -> Law:
        latent = model.latent
        num_below = latent.dim * (latent.dim - 1) // 2
        sizes = {"dim": latent.dim, "below": num_below, "num_classes": latent.num_classes}
        return Law(body.format(**sizes))

    return law


def _of_tensors(body: str, tensors: Callable[[VAE], dict[str, Tensor]]) -> Callable[[VAE], Law]:
    """p(z) of some tensors."""
    return lambda model: Law(body, tensors(model))


def _standard(model: VAE) -> dict[str, Tensor]:
    return {"mu": model.like.new_zeros(model.latent.dim)}


def _mixture(model: VAE) -> dict[str, Tensor]:
    learned = {name: tensor.detach()[0] for name, tensor in model.learned_prior.items()}
    return learned | {"scores": learned["scores"][0]}


def _components(model: VAE) -> dict[str, Tensor]:
    """What the encoder gives for the pseudo-inputs: [C, R]."""
    inputs = torch.sigmoid(model.learned_prior["pseudo_inputs"])
    return {"numbers": model.encoded(inputs)[0].detach()}


def _even(model: VAE) -> dict[str, Tensor]:
    width = model.family.posterior.code_width(model.latent)
    return {"scores": model.like.new_zeros(width)}


def _scores(model: VAE) -> dict[str, Tensor]:
    return {"scores": model.learned_prior["scores"].detach()[0].flatten()}


POSTERIORS: Mapping[str, Callable[[VAE], Law]] = {
    "diagonal_gaussian": _of_encoder(OF_GAUSSIAN),
    "full_gaussian": _of_encoder(OF_FULL_GAUSSIAN),
    "categorical": _of_encoder(OF_CODES),
    "gumbel_softmax": _of_encoder(OF_CODES),
    "planar_flow": flows.planar,
    "iaf": flows.iaf,
    "hierarchical": layered.bottom_up,
    "ladder": layered.top_down,
}
"""q(z|x) as source, by name."""
PRIORS: Mapping[str, Callable[[VAE], Law]] = {
    "standard_normal": _of_tensors(STANDARD, _standard),
    "mixture_of_gaussians": _of_tensors(MIXTURE, _mixture),
    "vamp": _of_tensors(VAMP, _components),
    "uniform_categorical": _of_tensors(CODES, _even),
    "learned_categorical": _of_tensors(CODES, _scores),
    "hierarchical": layered.of_prior,
}
"""p(z) as source, by name."""


def posterior_law(model: VAE) -> Law:
    """q(z|x) as source. Raises InputError for a family that is not written."""
    entry = model.family.posterior
    if entry.name not in POSTERIORS or is_users(entry.distribution):
        raise _refused("posterior", entry.name, POSTERIORS)
    return POSTERIORS[entry.name](model)


def prior_law(model: VAE) -> Law:
    """p(z) as source. Raises InputError likewise."""
    entry, posterior = model.family.prior, model.family.posterior
    if entry.name not in PRIORS or is_users(entry.log_prob):
        raise _refused("prior", entry.name, PRIORS)
    if entry.name == "vamp" and posterior.name not in MIXED:
        raise InputError(
            f"prior 'vamp' leaves with posterior {' or '.join(map(repr, MIXED))}, which torch "
            f"mixes; got {posterior.name!r}: vb.load_model has it in Python"
        )
    return PRIORS[entry.name](model)


def _refused(kind: str, name: str, known: Mapping[str, object]) -> InputError:
    return InputError(
        f"{kind} {name!r} is not written as plain PyTorch; those that are: "
        f"{', '.join(known)}; vb.load_model has it in Python"
    )
