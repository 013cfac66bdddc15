"""log p(x|z) of a model, checked for its shape and for probabilities above 1."""

from __future__ import annotations

from torch import Tensor

from vaebench.core.errors import InputError
from vaebench.evaluation.grading import Graded

ROUNDING = 1e-5
"""Nats per pixel by which float32 may round the log of a probability near 1 to above 0."""


def checked_log_px_z(model: Graded, x: Tensor, z: Tensor) -> Tensor:
    """log p(x|z) of x [S, B, P] at codes z [K, S, B, D]: [K, S, B].

    NaN passes, so that one run's does not stop the others: its grades are NaN. Raises InputError
    for another shape, and for probabilities above 1 of a likelihood that is a mass.
    """
    log_px_z = model.log_px_z(x, z)
    if log_px_z.shape != z.shape[:-1]:
        raise InputError(
            "log p(x|z) must have one number for each sample, run and example, "
            f"{tuple(z.shape[:-1])}; the model gives {tuple(log_px_z.shape)}: sum over the pixels "
            "alone"
        )
    if model.likelihood.measure == "mass":
        _check_mass(log_px_z, model.likelihood.name, ROUNDING * x.shape[-1])
    return log_px_z


def _check_mass(log_px_z: Tensor, name: str, rounding: float) -> None:
    if bool((log_px_z.detach() > rounding).any()):
        raise InputError(
            f"likelihood {name!r} is a probability of discrete data, so log p(x|z) must be at most "
            f"0; the model gives {float(log_px_z[log_px_z > rounding].max()):.4g}: give its log, "
            "not its negative, with all constants, or declare a density"
        )
