"""What likelihoods declare: they are densities over their support, with that mean, run by run.

Shapes: x [S, B, P], decoder output out [K, S, B, n * P], log p(x|z) [K, S, B].
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from vaebench.core.hyper import Scalar
from vaebench.diagnostics.certify.cases import likelihood as decoded
from vaebench.diagnostics.certify.cases.likelihood import PIXELS, ROWS, SAMPLES
from vaebench.diagnostics.certify.density import LEVELS, check_density, check_support
from vaebench.diagnostics.certify.finding import Finding, changes, holds, near
from vaebench.models.likelihoods import Likelihood

EXTREME = 30.0
"""Size of a decoder output at which a loss and its gradient must be finite."""
FAR, UNLIKELY = (30.0, 100.0, 300.0, 1000.0), -20.0
"""Sizes of decoder outputs at which a value of at most that log-probability must not lie flat."""
FLOAT32 = 1e-4
"""What float32 may be off by in log p(x|z), a sum of terms that partly cancel, relative to its size
where that is above 1."""
STEP = 1e-5
"""The step of differences, whose own error is then below 1e-6 of the size of the gradient."""


def check_likelihood(entry: Likelihood) -> Iterator[Finding]:
    """Every fact of one likelihood, where its support is stated and its shapes are right."""
    support = entry.support
    if (support.values is None) == (support.interval is None):
        both = "both values and interval" if support.values else "neither values nor interval"
        yield holds(entry.name, f"normalisation cannot be checked: support declares {both}", False)
        return
    shapes = _check_shapes(entry)
    yield shapes
    if not shapes.holds:
        return
    yield from check_density(entry)
    yield from check_support(entry)
    yield from _check_pixels(entry)
    yield from _check_runs(entry)
    yield from _check_exposure(entry)
    yield from _check_parameters(entry)
    yield from _check_gradients(entry)
    yield _check_far(entry)
    yield from _check_precision(entry)
    yield from _check_fits(entry)


def _check_shapes(entry: Likelihood) -> Finding:
    log_p_shape = entry.log_prob(
        decoded.data(entry), decoded.outputs(entry), **decoded.parameters(entry)[0]
    ).shape
    mean = entry.mean(decoded.outputs(entry)).shape
    right = log_p_shape == (SAMPLES, 2, ROWS) and mean == (SAMPLES, 2, ROWS, PIXELS)
    fact = "one log-probability per sample, run and example, one mean per pixel"
    return holds(entry.name, fact, right)


# ------------------------------------------------------------------ pixels and runs


def _check_pixels(entry: Likelihood) -> Iterator[Finding]:
    """log p(x|z) is a sum over pixels; a mean, or a pixel that reads its neighbour, is not."""
    x, out, parameters = decoded.data(entry), decoded.outputs(entry), decoded.parameters(entry)[0]
    each = out.unflatten(-1, (-1, PIXELS)).unbind(-1)
    alone = [entry.log_prob(x[..., [p]], o, **parameters) for p, o in enumerate(each)]
    whole = entry.log_prob(x, out, **parameters)
    yield near(entry.name, "adds over pixels", whole, torch.stack(alone).sum(0))
    means = torch.cat([entry.mean(o) for o in each], -1)
    yield near(entry.name, "the mean of a pixel is of its own outputs", entry.mean(out), means)


def _check_runs(entry: Likelihood) -> Iterator[Finding]:
    """Two runs, each with parameters of its own, are as each alone."""
    x, out = decoded.data(entry), decoded.outputs(entry)
    stacked = entry.log_prob(x, out, **decoded.stacked(entry))
    alone = [
        entry.log_prob(x[[run]], out[:, [run]], **_of_run(decoded.stacked(entry), run))
        for run in range(2)
    ]
    yield near(entry.name, "blind to its stack-mates", stacked, torch.cat(alone, 1))
    few = entry.log_prob(x[:, :1], out[:1, :, :1], **decoded.stacked(entry))
    fact = "of its own sample and example alone"
    yield near(entry.name, fact, stacked[:1, :, :1], few)


def _check_exposure(entry: Likelihood) -> Iterator[Finding]:
    """Where the first outputs are logs of means, an exposure multiplies the mean, and no less."""
    if not entry.log_mean:
        return
    out, exposure = decoded.outputs(entry), 0.5 + decoded.outputs(entry)[0, ..., :1].square()
    times = entry.mean(entry.exposed(out, exposure)) / entry.mean(out)
    yield near(entry.name, "an exposure multiplies its mean", times, exposure.expand_as(times))


def _of_run(parameters: Mapping[str, Scalar], run: int) -> dict[str, Scalar]:
    return {n: float(v[run]) if isinstance(v, Tensor) else v for n, v in parameters.items()}


def _check_parameters(entry: Likelihood) -> Iterator[Finding]:
    """A parameter that changes nothing is one that is silently unused."""
    x, out = decoded.data(entry), decoded.outputs(entry)
    first, second = decoded.parameters(entry)
    for name in first:
        moved = entry.log_prob(x, out, **first | {name: second[name]})
        fact = f"{name} changes the value"
        yield changes(entry.name, fact, moved, entry.log_prob(x, out, **first))


# ------------------------------------------------------------------ gradients and precision


def _check_gradients(entry: Likelihood) -> Iterator[Finding]:
    x, out = decoded.data(entry), decoded.outputs(entry).requires_grad_()
    parameters = decoded.stacked(entry)
    trained = {n: v.requires_grad_() for n, v in parameters.items() if isinstance(v, Tensor)}
    places = [out, *trained.values()]
    slopes = torch.autograd.grad(
        entry.log_prob(x, out, **parameters).sum(), places, materialize_grads=True
    )
    for what, place, slope in zip(("outputs", *trained), places, slopes, strict=True):
        slope_along = (slope * _direction(place)).sum()
        fact = f"its gradient in the {what} is that of differences"
        yield near(
            entry.name, fact, slope_along, _difference(entry, x, place, places, parameters), STEP
        )
    yield _check_extremes(entry, x)


def _direction(place: Tensor) -> Tensor:
    """A fixed, irregular direction."""
    return torch.linspace(-1.0, 1.3, place.numel(), dtype=place.dtype).cos().view_as(place)


def _difference(
    entry: Likelihood,
    x: Tensor,
    place: Tensor,
    places: list[Tensor],
    parameters: Mapping[str, Scalar],
) -> Tensor:
    """The central difference of the summed log p(x|z) along the direction."""
    with torch.no_grad():
        sums = []
        for step in (STEP, -STEP):
            place += step * _direction(place)
            sums.append(entry.log_prob(x, places[0], **parameters).sum())
            place -= step * _direction(place)
    return (sums[0] - sums[1]) / (2.0 * STEP)


def _check_extremes(entry: Likelihood, x: Tensor) -> Finding:
    """Loss and gradient are finite at extreme outputs, in float32 as in training."""
    signs = decoded.outputs(entry, seed=7).sign()
    out = (EXTREME * signs).float().requires_grad_()
    value = entry.log_prob(x.float(), out, **decoded.parameters(entry)[0])
    (slope,) = torch.autograd.grad(value.sum(), out)
    fact = f"finite, and so its gradient, at decoder outputs of ±{EXTREME:g}"
    return holds(entry.name, fact, bool(value.isfinite().all() and slope.isfinite().all()))


def _check_far(entry: Likelihood) -> Finding:
    """A log-probability that is cut off still sums to 1, and teaches a decoder nothing there."""
    x, parameters, flat = decoded.data(entry)[..., [0]], decoded.parameters(entry)[0], False
    for level in FAR:
        out = decoded.outputs(entry, level, seed=8).unflatten(-1, (-1, PIXELS))[..., 0]
        out.requires_grad_()
        value = entry.log_prob(x, out, **parameters)
        (slope,) = torch.autograd.grad(value.sum(), out)
        flat |= bool(((value < UNLIKELY) & (slope == 0).all(-1)).any())
    fact = f"an unlikely value has a gradient, at decoder outputs of up to ±{max(FAR):g}"
    return replace(holds(entry.name, fact, not flat), declared=False)


def covered() -> str:
    """The range that the checks cover, in words."""
    return (
        f"integrals at decoder outputs of sizes up to {max(LEVELS):g}, gradients up to "
        f"{max(FAR):g}; a cut below {UNLIKELY:g} nats is a remark"
    )


def _check_precision(entry: Likelihood) -> Iterator[Finding]:
    x = decoded.data(entry).float()
    for level in (1.0, 10.0):
        out, parameters = decoded.outputs(entry, level).float(), decoded.parameters(entry)[0]
        exact = entry.log_prob(x.double(), out.double(), **parameters)
        single = entry.log_prob(x, out, **parameters)
        fact = f"float32 is close to float64, at decoder outputs of size {level:g}"
        yield near(entry.name, fact, single, exact, FLOAT32)


def _check_fits(entry: Likelihood) -> Iterator[Finding]:
    """A closed-form fit depends on its run alone, and is the most likely for the batch."""
    x, out = decoded.data(entry), decoded.outputs(entry) * torch.tensor([1.0, 0.3]).view(2, 1, 1)
    fits = {name: fit(x, out) for name, fit in entry.fitted.items()}
    for name, fit in entry.fitted.items():
        alone = torch.cat([fit(x[[run]], out[:, [run]]) for run in range(2)])
        fact = f"fitted {name} is one value per run, of that run alone"
        shape = fits[name].shape == (2, 1)
        yield near(entry.name, fact, fits[name], alone) if shape else holds(entry.name, fact, False)
        if not shape:
            continue
        place = fits[name].detach().requires_grad_()
        parameters = decoded.parameters(entry)[0] | fits | {name: place}
        (slope,) = torch.autograd.grad(entry.log_prob(x, out, **parameters).sum(), place)
        yield near(entry.name, f"fitted {name} is the most likely for the batch", slope, 0.0, 1e-8)
