"""Which parts can be combined, decided by trying one training step of a tiny model."""

from __future__ import annotations

import functools

import torch

from vaebench.core.errors import InputError
from vaebench.core.hyper import Scalar
from vaebench.models import Family, build
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.models.posteriors import POSTERIORS, Latent
from vaebench.models.priors import PRIORS
from vaebench.models.terms import compute_terms
from vaebench.objectives import OBJECTIVES
from vaebench.ops.noise import Noise

EVERYTHING = ("diagonal_gaussian", "standard_normal")
"""The posterior and prior that have a formula for everything an objective may need."""
TINY = Latent(dim=2, num_classes=3, flow_steps=1)
"""Sizes of the code of the model that is tried."""
NUM_PIXELS, NUM_EXAMPLES = 2, 4


@functools.lru_cache(maxsize=4096)
def refusal(
    objective: str,
    likelihood: str,
    posterior: str,
    prior: str,
    num_samples: int = 1,
    counts: tuple[tuple[str, int], ...] = (),
    latent: Latent = TINY,
    num_weights: int = 0,
) -> str:
    """Why these cannot be combined, and what to choose instead; "" where they can.

    `counts`: the whole-numbered hyperparameters of the objective. `latent`: the sizes of the code.
    `num_weights`: of the weights on the rate of each layer, where there are such.
    """
    least = OBJECTIVES[objective].min_samples
    if num_samples < least:
        return f"it needs num_samples >= {least}; got {num_samples}"
    if POSTERIORS[posterior].discrete != PRIORS[prior].discrete:
        discrete = POSTERIORS[posterior].discrete
        kind = "discrete" if discrete else "real"
        fitting = [name for name, entry in PRIORS.items() if entry.discrete == discrete]
        return (
            f"posterior {posterior!r} has {kind} codes, to which prior {prior!r} gives no "
            f"probability: choose prior {' or '.join(map(repr, fitting))}"
        )
    if (posterior, prior) == EVERYTHING and not counts:
        return ""
    try:
        weights = (0.5,) * num_weights
        parts = likelihood, posterior, prior
        _one_step(objective, *parts, num_samples, dict(counts), latent, weights)
    except InputError as error:
        return str(error)
    return ""


def _one_step(
    objective: str,
    likelihood: str,
    posterior: str,
    prior: str,
    num_samples: int,
    counts: dict[str, int],
    latent: Latent,
    layer_weights: tuple[float, ...],
) -> None:
    """Compute all that a step may need: losses, new state, a point of the curves and a grade.

    Raises InputError where a formula is missing.
    """
    entry, noise = OBJECTIVES[objective], Noise((0,))
    network = entry.auxiliary.network if entry.auxiliary else None
    family = Family(
        LIKELIHOODS[likelihood], POSTERIORS[posterior], PRIORS[prior], latent, 2, network
    )
    hyper = {name: 0.5 if h.default is None else h.default for name, h in entry.hyper.items()}
    model = build(
        "mlp",
        family,
        image_shape=(NUM_PIXELS,),
        widths=(),
        noise=noise,
        likelihood_hyper=dict.fromkeys(family.likelihood.hyper, 0.5),
        prior_hyper=dict.fromkeys(family.prior.hyper, 0.5),
    )
    x = torch.full((1, NUM_EXAMPLES, NUM_PIXELS), 0.5)
    state = {name: torch.tensor([[value]]) for name, value in entry.initial_state.items()}
    scalars: dict[str, Scalar] = {**hyper, **counts, **state}
    terms = compute_terms(
        model, x, noise, num_samples=num_samples, layer_weights=layer_weights, training=True
    )
    entry(terms, **scalars)
    if entry.auxiliary:
        entry.auxiliary.loss(terms)
    if entry.update:
        entry.update(terms, **scalars)
    _ = terms.kl_or_estimate, compute_terms(model, x, noise).log_w
