"""Signs that a decoder's numbers are on another scale than the one a likelihood reads them on.

Shapes: x [S, B, P], out [K, S, B, n * P]. Each function returns its doubt in words, "" for none.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

TOLERANCE = 1e-2
"""How far a sum of probabilities in bfloat16 may be from 1."""

Doubt = Callable[[Tensor, Tensor], str]
"""(x, out) of a good many images -> why out should not be trusted."""


def no_doubt(x: Tensor, out: Tensor) -> str:
    """No doubt, whatever the numbers: for outputs that no other scale can be confused with."""
    return ""


def like_probabilities(x: Tensor, out: Tensor) -> str:
    """Doubt of outputs read as logits that all lie in [0, 1], as probabilities do.

    Such logits would give every pixel of every image a probability from 0.5 to 0.73. Those of a
    trained decoder are far on both sides, and those of an untrained one small with both signs, or
    all 0 where its last layer starts at 0.
    """
    if bool(((out >= 0) & (out <= 1)).all() and (out > 0).any()):
        return (
            "the outputs of decode all lie in [0, 1], as probabilities do, and are read as "
            "logits: if they are probabilities, give torch.logit(p)"
        )
    return ""


def like_shares(num_classes: int) -> Doubt:
    """Doubt of logits of classes [..., C, P] that are never negative and sum to 1 over C.

    Logits may be shifted by any constant, but nothing makes them sum to 1 save a softmax.
    """

    def doubt(x: Tensor, out: Tensor) -> str:
        shares = out.unflatten(-1, (num_classes, -1))
        if bool((shares >= 0).all() and ((shares.sum(-2) - 1.0).abs() < TOLERANCE).all()):
            return (
                f"the outputs of decode sum to 1 over the {num_classes} classes, as "
                f"probabilities do, and are read as logits: if they are, give torch.log(p)"
            )
        return ""

    return doubt


def like_scales(x: Tensor, out: Tensor) -> str:
    """Doubt of logs of scales, the last half of out, that make every scale wider than the data.

    It happens where scales are given in place of their logs: read as logs, positive numbers give
    scales above 1.
    """
    log_scale, width = out.chunk(2, -1)[1], x.max() - x.min()
    if bool((log_scale > 0).all() and (log_scale > torch.log(width)).all()):
        return (
            "the scales of decode are read as logarithms, and each is then wider than the range "
            "of all pixels: if they are scales, give torch.log(scale)"
        )
    return ""
