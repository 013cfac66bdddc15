"""log p(x) by annealed importance sampling, and the gap of its two bounds on simulated images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Annotated, NamedTuple

import torch
from torch import Tensor

from vaebench.core.about import About
from vaebench.core.hyper import Hyper
from vaebench.evaluation.chunks import bytes_for, rows_within
from vaebench.evaluation.grading import Grade, Graded, Subject, grading, runs_alone
from vaebench.evaluation.likelihood.annealing import (
    PILOT_CHAINS,
    AnnealingPlan,
    adapted_steps,
    backward,
    forward,
    num_transitions,
)
from vaebench.evaluation.likelihood.checked import checked_log_px_z
from vaebench.evaluation.likelihood.hmc import Target, point_at
from vaebench.evaluation.likelihood.weights import for_many, log_mean_variance
from vaebench.evaluation.samples.intervals import normal
from vaebench.ops import densities
from vaebench.ops.noise import Noise

Count = Annotated[int, Hyper(low=1)]
FEWEST_CHAINS = 2
"""Effective chains of an example, below which its bound is doubted."""


def refuses_discrete(subject: Subject, **hyper: float) -> str:
    """Why discrete codes, which have no gradient, cannot be graded by this; "" for real ones."""
    prior = subject.model.prior().entry
    if not prior.discrete:
        return ""
    return f"prior {prior.name!r} is over discrete codes, which have no gradient: leave it out"


class Bracket(NamedTuple):
    """Bounds on log p(x) of some images of one run, in expectation: [S, N] each."""

    lower: Tensor
    acceptance: Tensor
    ess: Tensor  # effective chains, as a share of K
    variance: Tensor  # of `lower`, by the choice of chains
    upper: Tensor  # [S, 0] where no exact sample of the posterior is known
    upper_variance: Tensor  # as `upper`


def _work(
    subject: Subject,
    *,
    num_temperatures: int,
    num_chains: int,
    num_examples: int,
    num_leapfrog: int,
    num_simulated: int,
) -> float:
    """The number of gradients of log p(x|z), in the pilot run and the chains of each direction."""
    pilot = PILOT_CHAINS * num_transitions(num_temperatures)
    chains = num_chains * (num_temperatures - 1)
    examples = min(num_examples, len(subject.dataset.test))
    images = 0 if _not_simulated(subject) else num_simulated
    return float(num_leapfrog * ((pilot + chains) * examples + (pilot + 2 * chains) * images))


@grading(
    source="Neal 2001; Grosse et al. 2015; Wu et al. 2017",
    refuses=refuses_discrete,
    work=_work,
    small={"num_temperatures": 10, "num_examples": 32, "num_simulated": 0},
    about=About(
        formula=r"\log \hat{p}(x) = \log \frac{1}{C} \sum_{c=1}^{C} \prod_{t=1}^{T} "
        r"p(x|z_{c,t-1})^{\beta_t - \beta_{t-1}}",
        wrong_when="With too few temperatures: it is a lower bound on average, as the NLL "
        "is, and how far off is known for simulated images alone (`bdmc_gap`).",
        cost="temperatures x chains x leapfrog steps gradients of the decoder for each image",
    ),
)
def annealed(
    subject: Subject,
    *,
    num_temperatures: Annotated[int, Hyper(low=2)] = 1000,
    num_chains: Count = 16,
    num_examples: Count = 100,
    num_leapfrog: Count = 10,
    num_simulated: Annotated[int, Hyper(low=0)] = 20,
) -> list[Grade]:
    """NLL by annealed importance sampling, and how far its two bounds are apart.

    The upper bound needs an exact sample of p(z|x), which images simulated from the model come
    with: `num_simulated` of them. Both means over images come with the 95% interval of their
    sampling by chains, on these images: +- 1.96 (sum_i var_i)^(1/2) / N, var_i the jackknife's of
    an image's bound over its chains, as the chains of two images are independent. It is about the
    bound that so many chains give on average, which is no less than the NLL. In float32 the last
    digit may decide whether a chain moves, so that on other devices or thread counts a value agrees
    to its sampling error alone.
    """
    plan = AnnealingPlan(num_temperatures, num_chains, num_leapfrog)
    x = subject.observations("test")[:num_examples]
    runs = [of_images(model, x[None], noise, plan) for model, noise in _runs(subject, "test")]
    bracket = Bracket(*(torch.cat(values) for values in zip(*runs, strict=True)))
    common = (
        f"{len(x)} test images, {num_temperatures} temperatures, {num_chains} chains, "
        f"{num_leapfrog} leapfrog steps"
    )
    bound = f"{common}, from a lower bound of log p(x), as real images have no upper one"
    if reason := _not_simulated(subject):
        bound += f"; no bdmc_gap: {reason}"
    few = bracket.ess * num_chains < FEWEST_CHAINS
    doubts = for_many(few, f"fewer than {FEWEST_CHAINS} effective chains")
    return [
        replace(_sampled("ais_nll", -bracket.lower, bracket.variance, bound), doubts=doubts),
        _grade("ais_acceptance", bracket.acceptance, common),
        _grade("ais_ess", bracket.ess, f"{common}, effective chains of all"),
        *_gap(subject, plan, num_simulated, common),
    ]


def _not_simulated(subject: Subject) -> str:
    """Why no images are simulated whose posterior is known at one point; "" where they are."""
    if subject.model.likelihood.sample is None:
        return f"{subject.model.likelihood.name} declares no sampler"
    if subject.dataset.by_library:
        return "the library size of what is drawn is not the one that it is drawn for"
    return ""


def _gap(subject: Subject, plan: AnnealingPlan, num: int, common: str) -> list[Grade]:
    """The gap on images simulated from each model, where it can draw some and these are wanted."""
    if not num or _not_simulated(subject):
        return []
    gaps, variances = [], []
    for model, noise in _runs(subject, "simulated"):
        z, x = simulated(model, noise.named("images"), num)
        bracket = of_images(model, x, noise, plan, z)
        gaps.append(bracket.upper - bracket.lower)
        variances.append(bracket.upper_variance + bracket.variance)
    of_chains = common.split(", ", 1)[1]
    return [
        _sampled(
            "bdmc_gap",
            torch.cat(gaps),
            torch.cat(variances),
            f"{num} images simulated from the model, {of_chains}, upper less lower bound",
        )
    ]


def _runs(subject: Subject, name: str) -> Iterator[tuple[Graded, Noise]]:
    return runs_alone(subject.model, subject.noise.named(name))


def _grade(name: str, values: Tensor, protocol: str) -> Grade:
    return Grade(name, values.mean(-1), protocol, parts=values)


def _sampled(name: str, values: Tensor, variances: Tensor, protocol: str) -> Grade:
    """The mean over images [S, N], with its interval from the variance of each by its chains."""
    grade = _grade(name, values, protocol)
    if variances.isnan().all():  # of one chain
        return grade
    of_mean = normal(grade.values, variances.sum(-1) / variances.shape[-1] ** 2)
    stated = f"{protocol}; interval of the chains' sampling, not of the images'"
    return replace(grade, protocol=stated, low=of_mean.low, high=of_mean.high)


@torch.no_grad()
def simulated(model: Graded, noise: Noise, num: int) -> tuple[Tensor, Tensor]:
    """Codes of the prior [S, N, D], and an image drawn from each [S, N, P].

    A code is an exact sample of the posterior of its image.
    """
    z = model.prior().sample(noise.named("codes"), num, model.latent).to(model.like)
    return z, model.sample_image(z[None], noise.named("pixels"))[0]


@torch.no_grad()
def of_images(
    model: Graded,
    x: Tensor,
    noise: Noise,
    plan: AnnealingPlan,
    z: Tensor | None = None,
    max_bytes: int | None = None,
) -> Bracket:
    """Bounds on log p(x) of images x [S, N, P], of which z [S, N, D] are exact posterior codes.

    In chunks of examples that hold about `max_bytes`; by default what suits the device.
    """
    num = x.shape[1]
    starts = (
        _codes(model, noise.named("pilot"), PILOT_CHAINS, num),
        _codes(model, noise.named("forward"), plan.num_chains, num),
    )
    max_bytes = bytes_for(x.device) if max_bytes is None else max_bytes
    target = _target(model, x[:, :1])
    rows = rows_within(max_bytes, lambda: point_at(target, starts[0][:1, :, :1]))
    size = max(1, rows // plan.num_chains)
    parts = []
    for first in range(0, num, size):
        part = slice(first, first + size)
        exact = None if z is None else z[:, part]
        pilot, chains = (start[:, :, part] for start in starts)
        parts.append(_bracket(model, x[:, part], (pilot, chains, exact), noise.at(row=first), plan))
    return Bracket(*(torch.cat(values, -1) for values in zip(*parts, strict=True)))


def _bracket(
    model: Graded,
    x: Tensor,
    codes: tuple[Tensor, Tensor, Tensor | None],
    noise: Noise,
    plan: AnnealingPlan,
) -> Bracket:
    """The bounds of a few images, from codes that the pilot's chains and the chains start at.

    The third of `codes` are exact samples of the posterior, where they are known.
    """
    pilot, chains, z = codes
    target = _target(model, x)
    steps = adapted_steps(target, pilot, plan, noise.named("pilot"))
    up = forward(target, chains, steps, plan, noise.named("forward"))
    lower, _, ess = densities.importance_weights(up.log_w)
    upper = upper_variance = lower[:, :0]
    if z is not None:
        ends = z.expand(plan.num_chains, *z.shape)
        down = backward(target, ends, steps, plan, noise.named("backward"))
        upper = -densities.log_mean_exp(-down.log_w)
        upper_variance = log_mean_variance(-down.log_w)
    variance, share = log_mean_variance(up.log_w), ess / plan.num_chains
    return Bracket(lower, up.acceptance.double(), share, variance, upper, upper_variance)


def _target(model: Graded, x: Tensor) -> Target:
    return Target(model.prior().log_prob, partial(checked_log_px_z, model, x))


def _codes(model: Graded, noise: Noise, num_chains: int, num_rows: int) -> Tensor:
    """Codes of the prior for each chain and example: [K, S, N, D]."""
    prior = model.prior()
    each = [
        prior.sample(noise.named("codes", chain), num_rows, model.latent)
        for chain in range(num_chains)
    ]
    return torch.stack(each).to(model.like)
