"""Gradients of weighted log weights, with a weight for each way that the gradient takes."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from torch import Tensor
from torch.autograd.graph import get_gradient_edge

from vaebench.core.errors import InputError
from vaebench.models.terms import NOTHING_DRAWN, Terms

SMALLEST = 1e-20
"""The smallest weight that a gradient is divided by: far below any that matters, far above 0."""
MARK = "vaebench.objectives.estimators"


def estimator(
    t: Terms, bound: Tensor, *, decoder: Tensor, path: Tensor, score: Tensor | None = None
) -> Tensor:
    """The value of `bound` [S, B] with the gradient of weighted log importance weights.

    With theta in p(x, z), phi in q(z|x) and z_k = z(eps_k, phi), the gradient of
    log w_k = log p(x, z_k) - log q(z_k|x) takes three ways, each with a weight [K, S, B] of its
    own (Tucker et al. 2019, section 4; Roeder et al. 2017 for the last two):

        theta:  sum_k decoder_k  d log p(x, z_k) / d theta
        phi:    sum_k path_k     (d log w_k / d z_k) (d z_k / d phi)
              - sum_k score_k    d log q(z_k|x) / d phi at fixed z_k      (`score` None: 0)

    The surrogate sum_k decoder_k log w_k, log q with stopped parameters, is right for theta, and
    sends decoder_k d log w_k / d z_k to z_k. What is missing is the factor path_k / decoder_k on
    that gradient before it goes on to phi: a hook on z multiplies by it. Plain autograd would need
    a second pass through the decoder, forward or backward, for the same numbers.

    Weights carry no gradient, those of the decoder are not negative. The gradient of everything
    else that the objective computes from z is multiplied too, so the loss must be this value alone,
    or add to it what does not depend on z. Raises InputError where z is weighted a second time.
    """
    decoder = decoder.clamp_min(SMALLEST)
    if t.drawn.log_qz_x_path is None and t.drawn.log_standard_normal is not None:
        t = replace(t, drawn=NOTHING_DRAWN)  # so that both densities have their gradient through z
    if t.z.requires_grad:
        _mark_as_weighted(t.decoded)
        shape = (*t.decoded.shape[:-1], 1)
        t.decoded.register_hook(lambda gradient: gradient * (path / decoder).reshape(shape))
    # Densities that came with the draw have their gradient past z, where the hook is not.
    of_z = decoder if t.drawn.log_qz_x_path is None else path
    log_ratio = t.weighted_log_ratio_path
    total = (decoder * t.log_px_z + of_z * log_ratio).sum(0)
    if score is not None:
        total = total - t.weighted_log_qz_x_score(score).sum(0)
    return bound.detach() + (total - total.detach())


def _mark_as_weighted(z: Tensor) -> None:
    """Note on z's node of the graph that it has a hook; a second one would multiply the first."""
    notes = cast(dict[str, bool], get_gradient_edge(z).node.metadata)  # its stub says: a method
    if MARK in notes:
        raise InputError(
            "the terms of a step serve one estimator, whose weights multiply the gradient of z; "
            "this objective made two: weigh the log weights once, by the sum of both weights"
        )
    notes[MARK] = True
