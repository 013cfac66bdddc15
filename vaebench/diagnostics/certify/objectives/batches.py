"""How an objective treats the examples of a batch: its losses are nats per example."""

from __future__ import annotations

from dataclasses import replace

from vaebench.diagnostics.certify.exact.linear_gaussian import (
    NUM_ROWS,
    draws,
    equipped,
    examples,
    linear_gaussian,
    replicas,
)
from vaebench.diagnostics.certify.finding import Finding, allowance, same
from vaebench.diagnostics.certify.objectives.hyperparameters import loss_at
from vaebench.models.posteriors.gaussian import DiagonalGaussian
from vaebench.models.terms import NOTHING_DRAWN, Terms
from vaebench.objectives import Objective

FEW, MANY = 4, 200
"""Runs, where a fact is one of every sample; where the pairs of a batch are many."""
SHRINKS = 0.75
"""What the effect of a doubled batch must shrink to by the next doubling. One over B halves it."""


def check_halves(objective: Objective) -> Finding:
    """Nats per example: the losses of half a batch do not depend on the other half."""
    model, half = replicas(linear_gaussian(wrong=1.0), FEW), NUM_ROWS // 2
    whole, part = (
        loss_at(objective, equipped(draws(model, x), objective))
        for x in (examples(), examples()[:half])
    )
    return same(objective.name, "nats per example, whatever the batch", whole[:, :half], part)


def check_repeats(objective: Objective) -> Finding:
    """Nats per example, of a function of the batch: each example twice changes nothing.

    Or half as much with every doubling, as an estimate over pairs of examples does.
    """
    terms = equipped(draws(replicas(linear_gaussian(wrong=1.0), MANY), examples()), objective)
    means = [loss_at(objective, _repeated(terms, times)).mean(-1) for times in (1, 2, 4)]
    first, second = means[1] - means[0], means[2] - means[1]
    off_by = abs(float(second.mean())) - SHRINKS * abs(float(first.mean()))
    fact = "nats per example, the less changed by repeating the batch the larger it is"
    allowed = allowance(first) + allowance(second)
    return Finding(objective.name, fact, off_by, allowed)


def _repeated(terms: Terms, times: int) -> Terms:
    """Every example and its samples so many times over, the training part as large as before."""
    return replace(
        terms,
        q=DiagonalGaussian(terms.mu.repeat(1, times, 1), terms.log_var.repeat(1, times, 1)),
        z=terms.z.repeat(1, 1, times, 1),
        log_px_z=terms.log_px_z.repeat(1, 1, times),
        drawn=NOTHING_DRAWN,
    )


def check_number_of_images(objective: Objective) -> Finding:
    """Nats per example: the size of the training part has no part in the loss of one."""
    terms = equipped(draws(replicas(linear_gaussian(wrong=1.0), FEW), examples()), objective)
    few, many = (loss_at(objective, replace(terms, num_examples=n)) for n in (100, 60_000))
    return same(objective.name, "nats per example, however many there are", few, many)
