"""The gap between ELBO and log p(x), split into amortisation gap and approximation gap."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from vaebench import ops
from vaebench.core.about import About
from vaebench.core.hyper import Hyper
from vaebench.evaluation.chunks import bytes_for, rows_within
from vaebench.evaluation.grading import Grade, Graded, Subject, grading, runs_alone
from vaebench.evaluation.likelihood.annealed import Count, refuses_discrete
from vaebench.evaluation.likelihood.bounds import bounds
from vaebench.evaluation.likelihood.checked import checked_log_px_z
from vaebench.evaluation.likelihood.held_out import doubts
from vaebench.models.posteriors import Drawing
from vaebench.models.terms import Terms
from vaebench.ops.adam import AdamScalars, Moments, fused_adam
from vaebench.ops.noise import Noise

STEP_SAMPLES = 8
"""Posterior samples of a step of the refinement."""


def _work(
    subject: Subject, *, num_examples: int, num_samples: int, num_steps: int, learning_rate: float
) -> float:
    """How many codes are decoded; with a gradient, in the steps, each counts three times."""
    of_each = 2 * num_samples + 3 * STEP_SAMPLES * num_steps
    return of_each * min(num_examples, len(subject.dataset.test))


@grading(
    source="Cremer et al. 2018, section 3",
    refuses=refuses_discrete,
    work=_work,
    small={"num_examples": 32, "num_steps": 20},
    about=About(
        formula=r"\log p(x) - \mathrm{ELBO}(q) = \left( \log p(x) - \mathrm{ELBO}(q^*) "
        r"\right) + \left( \mathrm{ELBO}(q^*) - \mathrm{ELBO}(q) \right)",
        wrong_when="Where log p(x) itself is estimated poorly: the approximation gap holds "
        "its error.",
        cost="an optimisation of q for each image",
    ),
)
def gaps(
    subject: Subject,
    *,
    num_examples: Count = 100,
    num_samples: Count = 1000,
    num_steps: Count = 500,
    learning_rate: Annotated[float, Hyper(low=1e-6)] = 0.03,
) -> list[Grade]:
    """The gap of the ELBO, split into what the encoder and what the family of q leaves open.

    q* is the best q for each example alone: the encoder's numbers, moved up the ELBO by Adam. Both
    bounds are of samples that q* was not fitted to, their rates sampled too, as an ELBO that q
    nearly makes exact varies less so. log p(x) is the importance-weighted bound of q*, from below,
    and with it the approximation gap.
    """
    x = subject.observations("test")[:num_examples]
    scalars = AdamScalars(learning_rate)
    amortisation, approximation, khats, sizes = [], [], [], []
    for model, noise in runs_alone(subject.model, subject.noise):
        best = refined(model, x, noise.named("refine"), num_steps, scalars)
        fresh = noise.named("fresh")
        amortised = bounds(model, x, fresh, num_samples=num_samples)
        best_bounds = bounds(model, x, fresh, num_samples=num_samples, numbers=best)
        amortisation.append(best_bounds.mean_log_w - amortised.mean_log_w)
        approximation.append(-best_bounds.nll - best_bounds.mean_log_w)
        khats.append(best_bounds.khat)
        sizes.append(best_bounds.ess)
    common = f"{len(x)} test images, {num_steps} steps of Adam from {learning_rate:g}, each example"
    return [
        _grade("amortisation_gap", torch.cat(amortisation), f"{common}, K={num_samples}"),
        _grade(
            "approximation_gap",
            torch.cat(approximation),
            f"{common}, log p(x) from below, K={num_samples}",
            doubts(torch.cat(khats), torch.cat(sizes), num_samples),
        ),
    ]


def _grade(name: str, values: Tensor, protocol: str, doubted: tuple[str, ...] = ()) -> Grade:
    return Grade(name, values.mean(-1), protocol, doubts=doubted, parts=values)


def refined(
    model: Graded,
    x: Tensor,
    noise: Noise,
    num_steps: int,
    scalars: AdamScalars,
    max_bytes: int | None = None,
) -> Tensor:
    """The numbers [S, N, R] of the q that is best for each of the images x [N, P] alone.

    In chunks of examples that hold about `max_bytes`; by default what suits the device.
    """
    stacked = x.expand(model.num_runs, *x.shape)
    with torch.no_grad():
        start = model.encoded(stacked)
    max_bytes = bytes_for(x.device) if max_bytes is None else max_bytes
    one = stacked[:, :1], start[:, :1]
    num_rows = rows_within(max_bytes, lambda: _gradient(model, *one, noise))
    parts = [
        _ascended(model, images, numbers, noise.at(row=row), num_steps, scalars)
        for images, numbers, row in zip(
            stacked.split(num_rows, 1),
            start.split(num_rows, 1),
            range(0, len(x), num_rows),
            strict=True,
        )
    ]
    return torch.cat(parts, 1)


def _ascended(
    model: Graded, x: Tensor, start: Tensor, noise: Noise, num_steps: int, scalars: AdamScalars
) -> Tensor:
    """Adam on each number alone, its rate falling to 0 so that the noise of the steps dies out."""
    numbers = start.clone()
    moments = Moments.at_start([numbers])
    for step in range(num_steps):
        gradient = _gradient(model, x, numbers, noise.at(step=step))
        moments.count.add_(1)
        rate = scalars.learning_rate * (1.0 - step / num_steps)
        fused_adam([numbers], [gradient], moments, AdamScalars(rate))
    return numbers


def _gradient(model: Graded, x: Tensor, numbers: Tensor, noise: Noise) -> Tensor:
    """The gradient of minus the ELBO with respect to the numbers of q: [S, B, R]."""
    with torch.enable_grad():
        numbers = numbers.detach().requires_grad_()
        q = model.distribution(numbers)
        draw = q.draw(Drawing(noise, STEP_SAMPLES, ops))
        terms = Terms(q, draw.z, checked_log_px_z(model, x, draw.z), model.prior(), drawn=draw)
        loss = terms.distortion + terms.kl_or_estimate
        (gradient,) = torch.autograd.grad(loss.sum(), numbers)
    return gradient
