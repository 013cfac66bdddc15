"""Test examples, and what the model gives back of them."""

from __future__ import annotations

import torch
from torch import Tensor

from vaebench.evaluation.codes.usage import posterior_mean
from vaebench.evaluation.exhibits.entry import can_be_seen, exhibit
from vaebench.evaluation.grading import Subject

NUM_EXAMPLES = 10


@exhibit(
    caption="Test examples, and what the model gives back of each: the mean of p(x|z) at the "
    "posterior mean. Sharp copies alone make no good model: see the rate that they cost.",
    source="Kingma & Welling 2014",
    fits=can_be_seen,
    row_names=("original", "reconstruction"),
)
def reconstructions(subject: Subject) -> Tensor:
    """The first test examples, and E[x|z] at the posterior mean of each: [S, 2, n, P]."""
    model, num = subject.model, min(NUM_EXAMPLES, len(subject.dataset.test))
    x = subject.observations("test")[:num].expand(model.num_runs, -1, -1)
    z = posterior_mean(model.posterior(x), subject.noise)
    return torch.stack([x, model.mean_image(z[None], x)[0]], 1)
