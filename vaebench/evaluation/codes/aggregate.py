"""Mutual information of image and code, and KL of the aggregate posterior to the prior.

The aggregate posterior is q(z) = 1/N sum_n q(z|x_n).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from vaebench import ops
from vaebench.core.about import About
from vaebench.core.errors import InputError
from vaebench.core.hyper import Hyper
from vaebench.data import Images
from vaebench.evaluation.chunks import bytes_for, rows_within
from vaebench.evaluation.grading import Grade, Graded, Subject, grading
from vaebench.models.posteriors import Distribution, Drawing
from vaebench.models.priors.mixtures import vamp
from vaebench.ops.noise import Noise

CEILING = 0.9
"""A mutual information above this share of log N depends more on N than on the code."""
NOT_FINITE = "the codes or their densities have NaN or infinity"
OVERHEAD = 5000
"""The rest of the time, in pairs: between the 60,000 of a Gaussian posterior and few of a flow."""


@dataclass(frozen=True)
class Information:
    """Per run and example, in nats; the two add up to the rate on the same codes."""

    mutual: Tensor  # [S, N] log q(z|x) - log q(z)
    aggregate_kl: Tensor  # [S, N] log q(z) - log p(z)


def _refuses(subject: Subject, **hyper: float) -> str:
    """Why q(z) cannot be computed: it needs the density of every code under every posterior."""
    model, x = subject.model, subject.observations("test")[:1]
    with torch.no_grad():
        q = model.posterior(x.expand(model.num_runs, *x.shape))
        try:
            q.log_prob(q.draw(Drawing(subject.noise, 1, ops)).z)
        except InputError as error:
            return f"the aggregate posterior needs log q(z|x) at any z; {error}"
    return ""


def _work(subject: Subject, *, num_examples: float = 2000, num_codes: float = 2) -> float:
    """The number of pairs of a code and an example, plus the rest of the time in pairs."""
    return OVERHEAD + num_codes * min(num_examples, len(subject.dataset.test)) ** 2


Count = Annotated[int, Hyper(low=1.0)]


@grading(
    source="Hoffman & Johnson 2016",
    refuses=_refuses,
    work=_work,
    small={"num_codes": 1},
    about=About(
        formula=r"\mathcal{R} = I(x; z) + \mathrm{KL}[q(z) \,\|\, p(z)], \qquad q(z) = "
        r"\frac{1}{N} \sum_{n=1}^{N} q(z|x_n)",
        wrong_when="Near log N, which the mutual information of N images cannot pass, and "
        "below 0, which is noise: both are marked.",
        cost="N^2 densities",
    ),
)
def aggregate(subject: Subject, *, num_examples: Count = 2000, num_codes: Count = 2) -> list[Grade]:
    """Mutual information of image and code, and KL of the aggregate posterior to the prior.

    The rate is their sum. Over the test images, or `num_examples` of them, evenly spaced, with
    `num_codes` codes of each. Its time grows with the square of the examples, and that of an
    inverse autoregressive flow is long: take fewer examples there.
    """
    x = evenly_spaced(subject.observations("test"), num_examples)
    nats = information(subject.model, x, subject.noise, num_codes=num_codes)
    ceiling = math.log(len(x))
    protocol = f"N={len(x)} test images as the mixture q(z), K={num_codes}"
    mutual, aggregate_kl = nats.mutual.mean(-1), nats.aggregate_kl.mean(-1)
    finite = (mutual + aggregate_kl).isfinite()
    doubts = tuple(
        _doubt(value, kl, ceiling) if known else NOT_FINITE
        for value, kl, known in zip(
            mutual.tolist(), aggregate_kl.tolist(), finite.tolist(), strict=True
        )
    )
    return [
        Grade(
            "mutual_information",
            mutual,
            f"{protocol}, of the image's index, at most log N = {ceiling:.2f}",
            doubts=doubts,
            parts=nats.mutual,
        ),
        Grade(
            "aggregate_kl",
            aggregate_kl,
            protocol,
            doubts=doubts,
            parts=nats.aggregate_kl,
        ),
    ]


def _doubt(mutual: float, aggregate_kl: float, ceiling: float) -> str:
    if min(mutual, aggregate_kl) < 0.0:
        name = "mutual information" if mutual < 0.0 else "aggregate KL"
        return (
            f"the {name} came out below 0, where the truth cannot be: its sampling error is as "
            f"large as it; take more codes (num_codes)"
        )
    if mutual < CEILING * ceiling:
        return ""
    return (
        f"the mutual information is near its ceiling log N = {ceiling:.2f}: with more images it "
        f"would be higher, and the aggregate KL lower by as much"
    )


def evenly_spaced(x: Tensor | Images, most: int) -> Tensor:
    """At most `most` rows of x, evenly spaced from the first on."""
    num = min(len(x), most)
    return x[torch.arange(num, device=x.device) * len(x) // num]


@torch.no_grad()
def information(
    model: Graded, x: Tensor, noise: Noise, *, num_codes: int, max_bytes: int | None = None
) -> Information:
    """Hoffman & Johnson 2016: the rate is I_q(n; z) + KL[q(z) || p(z)], n the index of an image.

    For the images x [N, P], averaged over K codes of each. The mixture holds the example that a
    code is of, so the information is at most log N; it estimates that of the population from below
    once this is near, and KL[q(z) || p(z)] from above. In chunks of about `max_bytes`, which do not
    show. Raises InputError where log q(z|x) has no formula.
    """
    q = _posterior(model, x)
    draw = q.draw(Drawing(noise, num_codes, ops, wanted="log_qz_x"))
    log_qz_x = q.log_prob(draw.z) if draw.log_qz_x is None else draw.log_qz_x
    max_bytes = bytes_for(x.device) if max_bytes is None else max_bytes
    log_qz, log_pz = _of_codes(q, draw.z, max_bytes), model.prior().log_prob(draw.z)
    return Information(
        (log_qz_x - log_qz).mean(0, dtype=torch.float64),
        (log_qz - log_pz).mean(0, dtype=torch.float64),
    )


def _posterior(model: Graded, x: Tensor) -> Distribution:
    """q(z|x) of all images at once, though they are encoded chunk by chunk."""

    def numbers(images: Tensor) -> Tensor:
        return model.encoded(images.expand(model.num_runs, *images.shape))

    num_rows = rows_within(bytes_for(x.device), lambda: numbers(x[:1]))
    return model.distribution(torch.cat([numbers(part) for part in x.split(num_rows)], 1))


def _of_codes(q: Distribution, z: Tensor, max_bytes: int) -> Tensor:
    """log q(z), q the mixture over its examples, which is a VampPrior of them: [K, S, N]."""
    rows = z.transpose(0, 1).flatten(1, 2)[None]  # [1, S, K N, D]
    num_rows = rows_within(max_bytes, lambda: vamp(rows[:, :, :1], components=q))
    log_q = torch.cat([vamp(part, components=q) for part in rows.split(num_rows, 2)], -1)
    return log_q[0].unflatten(-1, (z.shape[0], -1)).transpose(0, 1)
