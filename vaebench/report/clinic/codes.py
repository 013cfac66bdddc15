"""Rules about the code: what it carries, and what the rate's weight makes of it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vaebench.report.clinic.case import Array, Case, Finding
from vaebench.report.labels import some_of

EMPTY = 0.1
"""Nats of a code that carries nothing."""
UNUSED = 0.05
"""Nats of a dimension that carries next to nothing: after a usual training, dimensions that are not
used have some hundredths left, and those that are used some tenths."""
OFF_SCALE = 8.0
"""A weight on the rate so many times what it is in the ELBO, or so many times less, is on another
scale: on purpose, weights of half to four times are used."""
WASTED = 0.1
"""The share of the NLL that the ELBO lies below it, at least, where the rate costs too little; or
else the rate is more than the distortion."""
LARGE_GAP = 1.0
"""Nats of the ELBO that a better encoder would gain, at least, to be named."""
PER_DIMENSION = "rate_per_dimension by dimension"
MOST_NAMED = 8


def posterior_collapse(case: Case) -> Finding | None:
    """The posterior is the prior for every image, so that the code carries nothing."""
    rate = case.figure("rate")
    if not (case.is_done and rate < EMPTY):
        return None
    rates = case.parts.get(PER_DIMENSION, np.array([]))
    dimensions = f" in all {len(rates)} dimensions" if len(rates) else ""
    return Finding(
        "posterior collapse",
        f"The code carries {rate:.2g} nats{dimensions}; {_since(case)}.",
        "a warm-up of the rate's weight (rate_weight = { name = 'linear', over = 0.5 }), a lower "
        "beta, free bits, or a decoder that knows less without the code",
    )


def _since(case: Case) -> str:
    """From which step on the code was empty in training, beside the end of the warm-up."""
    steps, rates = case.curve("step"), case.curve("rate_nats")
    below = rates < 2.0 * EMPTY  # of a minibatch, so less exact than the grade
    if not len(rates) or not below[-1]:
        return "the learning curve does not show since when"
    first = int(np.flatnonzero(~below)[-1]) + 1 if (~below).any() else 0
    since = f"it is empty since step {steps[first]:.0f} or before"
    if not case.warm_up_steps:
        return since
    side = "before" if steps[first] <= case.warm_up_steps else "after"
    return f"{since}, {side} the warm-up ended at step {case.warm_up_steps:.0f}"


def weight_on_another_scale(case: Case) -> Finding | None:
    """The rate is weighed as if the likelihood were a mean over pixels, or had another sigma."""
    if not case.is_done:
        return None
    weight, scale = _weight(case), _scale_of_sigma(case)
    if scale >= OFF_SCALE:
        weight *= scale
    too_much = weight >= OFF_SCALE and _is_mostly_unused(case)
    too_little = weight <= 1.0 / OFF_SCALE and _is_wasteful(case)
    if too_much:
        effect = f"and the code is left with {case.figure('rate'):.2g} nats"
    elif too_little:
        effect = (
            f"and the code costs {case.figure('rate'):.3g} nats beside a distortion of "
            f"{case.figure('distortion'):.3g}, with a bound of {-case.figure('elbo'):.4g} nats for "
            f"an NLL of {case.figure('nll'):.4g}"
        )
    else:
        return None
    why = _of_sigma(case, scale) if scale >= OFF_SCALE else _of_weight(case)
    return Finding(
        "rate weighed on another scale than the likelihood",
        f"{why}, {effect}.",
        "both terms summed (over pixels, over dimensions) and beta near 1; `vaebench "
        "effective-beta` translates the weight of another code; for a Gaussian likelihood "
        "gaussian_learned, which learns sigma",
    )


def _weight(case: Case) -> float:
    """The weight on the rate at the end of training; NaN where it is not one number."""
    objective, factor = case.setting("objective", "name"), case.setting("rate_weight")
    if objective == "reconstruction_only":
        return 0.0
    # That of others weighs something else: beta_tc's one part of the rate, ciwae's two bounds.
    beta = case.setting("objective", "hyper", "beta") if objective == "beta_elbo" else 1.0
    factor = factor if isinstance(factor, int | float) else 1.0  # schedules end at 1
    return float(beta) * float(factor) if isinstance(beta, int | float) else math.nan


def _of_weight(case: Case) -> str:
    weight, pixels = _weight(case), _num_pixels(case)
    words = f"The rate weighs {weight:.3g} times what it does in the ELBO"
    for value, said in ((pixels, "a mean"), (1.0 / pixels, "a sum, with a KL that is a mean")):
        if value == value and 0.5 < weight / value < 2.0:
            return f"{words}, near that of {said} over the {pixels:.0f} pixels"
    return words


def _num_pixels(case: Case) -> float:
    """The dimensions of an image, by its NLL in nats and in bits for each; NaN without these."""
    bits = case.figure("bits_per_dim")
    return case.figure("nll") / (bits * math.log(2.0)) if bits else math.nan


def _scale_of_sigma(case: Case) -> float:
    """How many times the squared error the fixed variance of a Gaussian likelihood is; 1 without
    one. The rate weighs as many times more than where sigma fits."""
    sigma, mse = case.setting("likelihood", "hyper", "sigma"), case.figure("mse")
    if not isinstance(sigma, int | float) or not mse > 0.0:
        return 1.0
    return float(sigma) ** 2 / mse


def _of_sigma(case: Case, scale: float) -> str:
    sigma, mse = case.setting("likelihood", "hyper", "sigma"), case.figure("mse")
    return (
        f"Sigma is {sigma:g}, and the squared error of a pixel {mse:.2g}: a sigma of "
        f"{math.sqrt(mse):.2g} would fit, so that the rate weighs {scale:.3g} times too much"
    )


def _is_mostly_unused(case: Case) -> bool:
    """Whether half of the dimensions and more carry nothing."""
    rates = case.parts.get(PER_DIMENSION)
    if rates is not None and len(rates):
        return bool(2 * _unused(rates).size >= len(rates))
    return case.figure("rate") < EMPTY


def _is_wasteful(case: Case) -> bool:
    """Whether the code costs more than it is worth."""
    nll, rate = case.figure("nll"), case.figure("rate")
    gap = -case.figure("elbo") - nll
    return gap > WASTED * abs(nll) or rate > abs(case.figure("distortion"))


def _unused(rates: Array) -> NDArray[np.intp]:
    return np.flatnonzero(rates < UNUSED)


def unused_dimensions(case: Case) -> Finding | None:
    """A quarter of the dimensions and more carry nothing, while others do."""
    rates = case.parts.get(PER_DIMENSION, np.array([]))
    unused = _unused(rates)
    is_some = 4 * len(unused) >= len(rates) > len(unused)
    if not (case.is_done and len(unused) >= 2 and is_some and case.figure("rate") >= EMPTY):
        return None
    names = some_of([str(i) for i in unused], MOST_NAMED)
    return Finding(
        "unused dimensions of the code",
        f"{len(unused)} of {len(rates)} dimensions carry less than {UNUSED} nats: {names}.",
        "fewer dimensions, which gives the same ELBO for less; or, if they are wanted, a warm-up "
        "or free bits",
    )


def dead_layers(case: Case) -> Finding | None:
    """Layers of a hierarchy above the first carry nothing, while the code carries something."""
    rates: dict[int, float] = {}
    while not math.isnan(rate := case.figure(f"rate_layer_{len(rates) + 1}")):
        rates[len(rates) + 1] = rate
    dead = [str(i) for i, rate in rates.items() if i > 1 and abs(rate) < EMPTY]
    if not (case.is_done and dead and case.figure("rate") >= EMPTY):
        return None
    every = ", ".join(f"{rate:.2g}" for rate in rates.values())
    return Finding(
        "dead layers of latents",
        f"Of the {len(rates)} layers, layer {some_of(dead, MOST_NAMED)} carries less than {EMPTY} "
        f"nats; from the images up they carry {every}.",
        "one layer less, which has the same bound for less; or, if it is wanted, a warm-up of its "
        "rate (rate_weight as a list), free_bits_per_layer with a ladder, model.layer_skip, or an "
        "objective of more samples",
    )


def amortisation_gap(case: Case) -> Finding | None:
    """The encoder, not the family of posteriors, keeps the ELBO from log p(x)."""
    amortisation, family = case.figure("amortisation_gap"), case.figure("approximation_gap")
    if not (case.is_done and amortisation > max(LARGE_GAP, family)):
        return None
    return Finding(
        "an amortisation gap",
        f"Moving each image's posterior alone gains {amortisation:.3g} nats, and a richer family "
        f"of posteriors {family:.3g}.",
        "a larger encoder, more training images, or longer training",
    )
