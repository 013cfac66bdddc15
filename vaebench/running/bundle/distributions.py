"""q(z|x) and p(z) of a run as source, by torch.distributions."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from vaebench.core.errors import InputError
from vaebench.core.user_code import is_users
from vaebench.models import VAE
from vaebench.models.posteriors import Latent

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
POSTERIORS = {
    "diagonal_gaussian": OF_GAUSSIAN,
    "full_gaussian": OF_FULL_GAUSSIAN,
    "categorical": OF_CODES,
    "gumbel_softmax": OF_CODES,
}
"""The body of posterior(numbers), by name."""

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
VAMP = """\
even = distributions.Categorical(logits=torch.zeros_like(self.numbers[:, 0]))
return distributions.MixtureSameFamily(even, posterior(self.numbers))
"""
CODES = """\
return posterior(self.scores)
"""


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


PRIORS: Mapping[str, tuple[str, Callable[[VAE], dict[str, Tensor]]]] = {
    "standard_normal": (STANDARD, _standard),
    "mixture_of_gaussians": (MIXTURE, _mixture),
    "vamp": (VAMP, _components),
    "uniform_categorical": (CODES, _even),
    "learned_categorical": (CODES, _scores),
}
"""The body of forward of the prior's module, and its tensors, by name."""


def posterior_body(model: VAE) -> str:
    """What posterior(numbers) does. Raises InputError for a family that torch has no name for."""
    entry, latent = model.family.posterior, model.latent
    if entry.name not in POSTERIORS or is_users(entry.distribution):
        raise _refused("posterior", entry.name, POSTERIORS)
    return POSTERIORS[entry.name].format(
        dim=latent.dim, below=_num_below(latent), num_classes=latent.num_classes
    )


def prior_body(model: VAE) -> tuple[str, dict[str, Tensor]]:
    """What the prior's forward does, and its tensors. Raises InputError likewise."""
    entry = model.family.prior
    if entry.name not in PRIORS or is_users(entry.log_prob):
        raise _refused("prior", entry.name, PRIORS)
    body, tensors = PRIORS[entry.name]
    return body, tensors(model)


def _num_below(latent: Latent) -> int:
    return latent.dim * (latent.dim - 1) // 2


def _refused(kind: str, name: str, known: Mapping[str, object]) -> InputError:
    return InputError(
        f"{kind} {name!r} has no torch.distributions object to leave as; those that have: "
        f"{', '.join(known)}; vb.load_model has it in Python"
    )
