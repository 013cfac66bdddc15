"""A grading of my own: figures of trained runs on held-out data, the same for every variant.

    vaebench evaluate results/runs/mine --grading my_grading --plugin FILE

grades the runs of a folder by it, and --keep adds the figures to their records. In a study it is
`evaluate = { gradings = ["likelihood", "my_grading"] }`.
"""

from typing import Annotated

import torch

import vaebench as vb


@vb.grading(source="mine")
def my_grading(
    subject: vb.Subject, *, within: Annotated[float, vb.Hyper(low=0.0, high=1.0)] = 0.1
) -> list[vb.Grade]:
    """The share of pixels that the mean reconstruction has to within some distance."""
    # subject.model holds S trained runs side by side, subject.dataset the data, and subject.noise
    # random numbers of this grading alone. z is [K, S, N, D], here of one sample, the mean.
    x = subject.observed("test")[None]  # [1, N, P]; all runs see the same examples
    with torch.no_grad():
        z = subject.model.posterior(x.expand(subject.model.num_runs, -1, -1)).mean[None]
        near = (subject.model.mean_image(z)[0] - x).abs() <= within  # [S, N, P]
    of_examples = near.double().mean(-1)  # [S, N]
    return [
        # The metric's name, a value for each run [S], and how it was made, in words. `parts` are
        # what the value is the mean of: variants are then compared example by example.
        vb.Grade(
            "pixels_within",
            of_examples.mean(-1),
            f"test, E[x|z] at the posterior mean, within {within:g}",
            parts=of_examples,
            unit="share of pixels",
            higher_is_better=True,
        )
    ]
