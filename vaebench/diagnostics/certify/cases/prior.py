"""Models of two runs on which priors are checked, with parameters as after some training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from vaebench.core.errors import InputError
from vaebench.core.hyper import Scalar
from vaebench.diagnostics.certify.cases.hyperparameters import two_values
from vaebench.models import VAE, Family, build, select
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.models.posteriors import POSTERIORS, Latent
from vaebench.models.priors import BoundPrior, Prior
from vaebench.ops.noise import Noise, key, normals

RUNS = Noise((key("prior", 0), key("prior", 1)))
NUM_CLASSES, NUM_COMPONENTS, PIXELS = 3, 3, 3


@dataclass(frozen=True)
class PriorCase:
    """A prior of two runs with hyperparameters and trained parameters of their own."""

    model: VAE
    latent: Latent

    @property
    def bound(self) -> BoundPrior:
        return self.model.prior()

    def alone(self, run: int) -> BoundPrior:
        """The prior of one run without the other."""
        return select(self.model, [run]).prior()

    def sample(self, num_rows: int, noise: Noise = RUNS) -> Tensor:
        return self.bound.sample(noise, num_rows, self.latent).detach().double()


def prior_case(
    entry: Prior, dim: int, hyper: dict[str, Scalar] | None = None, posterior: str = ""
) -> PriorCase:
    latent = Latent(dim, num_classes=NUM_CLASSES)
    family = POSTERIORS[posterior or _simplest(entry)]
    model = build(
        "mlp",
        Family(LIKELIHOODS["bernoulli"], family, entry, latent, NUM_COMPONENTS),
        image_shape=(PIXELS,),
        widths=(),
        noise=RUNS,
        prior_hyper=stacked(entry) if hyper is None else hyper,
    ).double()
    with torch.no_grad():  # trained parameters as they are after some training
        for i, parameter in enumerate(model.learned_prior.values()):
            shape = parameter.reshape(2, 1, -1).shape
            parameter += 0.3 * normals(RUNS.at(step=i + 1), 1, *shape[1:])[0].view_as(parameter)
    return PriorCase(model, latent)


def _simplest(entry: Prior) -> str:
    return "categorical" if entry.discrete else "diagonal_gaussian"


def other_posteriors(entry: Prior) -> Iterator[str]:
    """The other posteriors that the encoder can make the prior of, if it makes it."""
    for name, family in POSTERIORS.items() if entry.prepared else ():
        if family.discrete != entry.discrete or name == _simplest(entry):
            continue
        try:
            case = prior_case(entry, 1, posterior=name)
            case.bound.log_prob(case.sample(1)[None])
        except InputError:
            continue
        yield name


def stacked(entry: Prior) -> dict[str, Scalar]:
    """One value of each hyperparameter for each of two runs, but a whole number for both."""
    return {
        name: pair[0] if entry.hyper[name].integer else torch.tensor(pair).double()[:, None]
        for name, pair in pairs_of(entry).items()
    }


def pairs_of(entry: Prior) -> dict[str, tuple[float, float]]:
    return {name: two_values(hyper) for name, hyper in entry.hyper.items()}
