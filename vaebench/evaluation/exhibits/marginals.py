"""Whether the columns of data without a picture are like those that the model gives."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vaebench.evaluation.exhibits.entry import exhibit
from vaebench.evaluation.grading import Subject
from vaebench.evaluation.samples.predictive import replicated

NUM_EXAMPLES, NUM_COLUMNS = 200, 200
Figures = Callable[[Tensor], Tensor]


def _are_counts(subject: Subject) -> bool:
    return subject.dataset.values == "counts" and subject.model.likelihood.sample is not None


def _are_real(subject: Subject) -> bool:
    return subject.dataset.values == "real" and subject.model.likelihood.sample is not None


CAPTION = (
    "A point for each column: the figure of the test data across, that of a replica of each "
    "example, x from p(x|z), z from q(z|x), upwards. A model whose data are like those it saw has "
    "its points on the diagonal, but for chance."
)
SOURCE = "Gelman, Meng & Stern 1996; Lopez et al. 2018 (scVI)"


@exhibit(
    caption=CAPTION,
    source=SOURCE,
    fits=_are_real,
    form="columns",
    row_names=("mean", "standard deviation"),
)
def moments(subject: Subject) -> Tensor:
    """Mean and standard deviation of each column: [S, 2, 2, columns]."""
    return _beside(subject, lambda x: torch.stack([x.mean(-2), x.std(-2)], -2))


@exhibit(
    caption=CAPTION,
    source=SOURCE,
    fits=_are_counts,
    form="columns",
    row_names=("mean", "share of zeros", "variance / mean"),
)
def count_checks(subject: Subject) -> Tensor:
    """Mean, share of zeros and dispersion of each column: [S, 3, 2, columns]."""

    def figures(x: Tensor) -> Tensor:
        mean = x.mean(-2)
        return torch.stack([mean, (x == 0).to(x).mean(-2), x.var(-2) / mean], -2)

    return _beside(subject, figures)


def _beside(subject: Subject, figures: Figures) -> Tensor:
    """Figures [..., F, P] of examples [..., N, P], of data and of replicas: [S, F, 2, P]."""
    x = subject.observations("test")[:NUM_EXAMPLES]
    replicas = replicated(subject.model, x, subject.noise).double()
    ours = figures(replicas)[..., :NUM_COLUMNS]
    return torch.stack([figures(x.double())[..., :NUM_COLUMNS].expand_as(ours), ours], -2)
