"""Rules about the course of training: it diverged, went on too short or too long."""

from __future__ import annotations

import itertools
from statistics import median

import numpy as np

from vaebench.report.clinic.case import Array, Case, Finding

LATE, STILL_RISING = 0.25, 0.07
"""The last share of the learning curve, and the share of its whole rise that, if gained in it, says
that the end is not reached."""
FEWEST_POINTS = 8
"""Points of a learning curve from which its end is judged."""
FALL_NATS, FALL_SHARE = 1.0, 0.2
"""The fall of the validation ELBO from its best that is overfitting: in nats, and as a share of
the whole rise."""
TERMS = {"rate_nats": "the rate", "distortion_nats": "the distortion", "grad_norm": "the gradient"}
GROWN = 10.0
"""A term that is so many times its median has grown."""


def diverged(case: Case) -> Finding | None:
    """A loss or a weight became NaN or infinite."""
    if case.record.status != "diverged":
        return None
    reason = (case.record.reason.strip().splitlines() or ["no reason is recorded"])[-1]
    return Finding(
        "divergence",
        f"{reason[:1].upper()}{reason[1:]}; {_first_to_go(case)}.",
        "a lower learning rate, gradients clipped (train.max_grad_norm), or a warm-up of the "
        "rate's weight",
    )


def _first_to_go(case: Case) -> str:
    """Which term of the learning curve was not finite first, or had grown most before."""
    curves = {words: case.curve(name) for name, words in TERMS.items()}
    curves = {words: curve for words, curve in curves.items() if len(curve)}
    if not curves:
        return "it was before the first point of the learning curve"
    steps = case.curve("step")
    lost = {words: _first(~np.isfinite(curve)) for words, curve in curves.items()}
    first = min(lost, key=lambda words: lost[words])
    if lost[first] < len(steps):
        return f"{first} was the first not to be finite, by step {steps[lost[first]]:.0f}"
    growth = {words: _growth(curve) for words, curve in curves.items()}
    most = max(growth, key=lambda words: growth[words])
    if growth[most] < GROWN:
        return f"all terms were as usual at step {steps[-1]:.0f}"
    return f"{most} had grown most by step {steps[-1]:.0f}, to {growth[most]:.3g} times its median"


def _first(where: Array) -> int:
    """The first place that is true; the length where none is."""
    return int(where.argmax()) if where.any() else len(where)


def _growth(curve: Array) -> float:
    return float(abs(curve[-1]) / max(float(np.median(np.abs(curve))), 1e-12))


def not_converged(case: Case) -> Finding | None:
    """The validation ELBO was still rising when training ended."""
    elbo = case.whole_elbo
    if len(elbo) < FEWEST_POINTS:
        return None
    late = max(2, round(LATE * len(elbo)))
    last = elbo[-late:]
    middle, end = median(elbo[-2 * late : -late]), median(last)
    gained, whole = end - middle, max(elbo) - min(elbo)
    if not gained > STILL_RISING * whole:
        return None
    noise = median(abs(after - before) for before, after in itertools.pairwise(last))
    if not gained > 2.0 * noise:
        return None
    return Finding(
        "training ended too early",
        f"The validation ELBO gained {gained:.3g} nats from the third quarter of training to the "
        f"last, {gained / whole:.0%} of its whole rise, and ended at step "
        f"{case.curve('step')[-1]:.0f}.",
        "more steps (train.num_steps), or a higher learning rate",
    )


def overfitted(case: Case) -> Finding | None:
    """The validation ELBO fell while training went on, and the last weights were kept."""
    elbo = case.whole_elbo
    if len(elbo) < FEWEST_POINTS:
        return None
    best = elbo.index(max(elbo))
    if elbo[best] - min(elbo[best:]) < FALL_NATS:  # as in nearly all runs
        return None
    steps, training = case.curve("step"), case.record.training
    end = len(elbo) - 1 if training is None else int((steps <= training.kept).sum()) - 1
    fall, whole = elbo[best] - elbo[end], elbo[best] - min(elbo[: best + 1])
    if not (best < end and fall >= max(FALL_NATS, FALL_SHARE * whole)):
        return None
    trained = -(case.curve("rate_nats") + case.curve("distortion_nats"))
    if not trained[end] > trained[best]:
        return None
    return Finding(
        "overfitting",
        f"The validation ELBO is {fall:.3g} nats below its best, of step {steps[best]:.0f}, while "
        f"that of training went from {trained[best]:.3g} to {trained[end]:.3g}.",
        "the best weights kept (train.keep = 'best'), early stopping (train.patience), weight "
        "decay, a smaller network or more images",
    )
