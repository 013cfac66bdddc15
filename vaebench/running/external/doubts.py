"""Signs that a model from elsewhere gives numbers on another scale than they are read on."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from vaebench.evaluation import Grade, Subject, bounds
from vaebench.ops.noise import Noise
from vaebench.running.external.model import ExternalModel

NUM_JUDGED = 200
"""Test images that a model is judged by, at most."""
NUM_SAMPLES = 4
"""Posterior samples per image behind each ELBO."""
ERRORS = 3.0
"""How many standard errors higher the ELBO of another reading must be."""


@torch.no_grad()
def doubts_of(subject: Subject) -> str:
    """Why the model's figures should not be trusted, from what it gives for some test images."""
    model, x = subject.model, subject.observations("test")[:NUM_JUDGED]
    assert isinstance(model, ExternalModel), "a model from elsewhere"
    numbers = model.encoded(x[None])
    out = model.outputs(numbers.chunk(2, -1)[0][None])
    reasons = (model.likelihood.doubt(x[None], out), _of_spread(model, x, numbers, subject.noise))
    return "; ".join(filter(None, reasons))


def _of_spread(model: ExternalModel, x: Tensor, numbers: Tensor, noise: Noise) -> str:
    """Why encode's log-variances look like standard deviations or variances; "" where they do not.

    Those are positive, and read as log-variances would make q wider than N(0, 1) in each dimension
    for each image. Doubted only where the other reading also fits better: by an ELBO that is higher
    beyond its error. The reading that fits best is named.
    """
    mu, spread = numbers.chunk(2, -1)
    if not bool((spread > 0).all()):
        return ""

    def elbo(log_var: Tensor) -> Tensor:
        read = torch.cat([mu, log_var], -1)
        return bounds(model, x, noise, num_samples=NUM_SAMPLES, numbers=read).elbo

    readings = {
        "standard deviations they give a higher ELBO: if they are, give 2 torch.log(sigma)": 2.0,
        "variances they give a higher ELBO: if they are, give torch.log(variance)": 1.0,
    }
    gains = {words: elbo(power * spread.log()) - elbo(spread) for words, power in readings.items()}
    words, gain = max(gains.items(), key=lambda item: float(item[1].mean()))
    if not bool(gain.mean() > ERRORS * gain.std() / gain.shape[-1] ** 0.5):
        return ""
    return f"the log-variances of encode are all positive, and read as {words}"


def marked(grade: Grade, doubt: str) -> Grade:
    """The grade of one run, with a doubt put before those that it has."""
    doubts = grade.doubts or ("",)
    return replace(grade, doubts=tuple("; ".join(filter(None, (doubt, each))) for each in doubts))
