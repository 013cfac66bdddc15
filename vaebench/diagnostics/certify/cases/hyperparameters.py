"""The values of hyperparameters at which likelihoods, priors and posteriors are checked."""

from __future__ import annotations

import math

from vaebench.core.hyper import Hyper


def two_values(hyper: Hyper, start: float | None = None) -> tuple[float, float]:
    """Two different valid values of a hyperparameter.

    `start`: the first value, where the parameter is trained from there.
    """
    first = hyper.default if start is None else start
    if hyper.search and start is None:
        low, high = (math.log(v) if hyper.log else v for v in hyper.search)
        values = [low + share * (high - low) for share in (0.25, 0.75)]
        one, other = (math.exp(v) if hyper.log else v for v in values)
    else:
        one = 0.4 if first is None else first
        other = 1.5 * one + 0.1
    one, other = (min(max(v, hyper.low), hyper.high) for v in (one, other))
    if one == other:  # at a limit: towards the other limit, or one off it
        other = 0.5 * (one + hyper.low) if math.isfinite(hyper.low) else one - 1.0
    return (round(one), round(one) + 1) if hyper.integer else (one, other)
