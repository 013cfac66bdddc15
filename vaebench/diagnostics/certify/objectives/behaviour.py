"""How an objective treats its inputs: runs, examples, hyperparameters, precision."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from vaebench.core.errors import InputError
from vaebench.diagnostics.certify.exact.linear_gaussian import (
    NUM_ROWS,
    NUM_SAMPLES,
    beside,
    draws,
    equipped,
    examples,
    far_examples,
    linear_gaussian,
    replicas,
)
from vaebench.diagnostics.certify.finding import ROUNDING, Finding, changes, largest, same
from vaebench.diagnostics.certify.objectives.batches import (
    FEW,
    check_halves,
    check_number_of_images,
    check_repeats,
)
from vaebench.diagnostics.certify.objectives.gradients import gradients
from vaebench.diagnostics.certify.objectives.hyperparameters import (
    NOTHING,
    Values,
    hyper_at,
    loss_at,
    moved,
    scalars_at,
)
from vaebench.models import VAE
from vaebench.models.posteriors.gaussian import DiagonalGaussian
from vaebench.models.terms import NOTHING_DRAWN, Terms
from vaebench.objectives import Objective


def check_outset(objective: Objective) -> Iterator[Finding]:
    """The facts that all other checks presuppose.

    Losses of the right shape, terms that are not modified, and each number of samples either taken
    or refused with InputError.
    """
    loss = loss_at(objective, _two_runs(objective))
    fits = isinstance(loss, Tensor) and tuple(loss.shape) == (2, NUM_ROWS)
    yield Finding(objective.name, "one loss per run and example", 0.0 if fits else math.inf, 0.0)
    if fits:
        yield _check_no_trace(objective)
    for num_samples in range(1, NUM_SAMPLES):
        terms = draws(linear_gaussian(wrong=1.0), examples(), num_samples)
        try:
            loss_at(objective, equipped(terms, objective))
        except InputError:
            continue
        except Exception as error:  # whatever a plugin's function may raise
            fact = f"takes K={num_samples} or raises InputError; got {error!r}"
            yield Finding(objective.name, fact, math.inf, 0.0)


def check(objective: Objective) -> Iterator[Finding]:
    yield from _check_stack(objective)
    yield from _check_hyperparameters(objective)
    yield from _check_warm_up(objective)
    if objective.of_batch:
        yield check_repeats(objective)
    else:
        yield check_halves(objective)
        yield check_number_of_images(objective)
    yield _check_precision(objective)
    yield _check_range(objective)
    if objective.update is not None:
        yield _check_update(objective)
    if objective.auxiliary is not None:
        yield from _check_auxiliary(objective)


def _check_stack(objective: Objective) -> Iterator[Finding]:
    """The loss of a run depends on no other run of the stack, nor on its hyperparameters."""
    both = _two_runs(objective)
    alone = loss_at(objective, equipped(draws(linear_gaussian(1.0), examples()), objective))
    apart = torch.cat([loss_at(objective, _of_run(both, run)) for run in range(2)])
    yield same(objective.name, "blind to its stack-mates", loss_at(objective, both), apart)
    scalars = [name for name in objective.hyper if name not in objective.counts]
    if scalars:
        defaults, other = hyper_at(objective), {name: _moved(objective, name) for name in scalars}
        each = {n: torch.tensor([[defaults[n]], [other[n]]], dtype=alone.dtype) for n in scalars}
        stacked = objective.loss(both, **{**scalars_at(objective, both), **each})
        apart = torch.cat([alone, loss_at(objective, both, other)[1:]])
        yield same(objective.name, "each run has hyperparameters of its own", stacked, apart)


def _check_hyperparameters(objective: Objective) -> Iterator[Finding]:
    """A hyperparameter that changes nothing is one that is silently unused."""
    for name, hyper in objective.hyper.items():
        values = moved(hyper, hyper_at(objective)[name])
        tried = (_consequences(objective, {name: value}) for value in values)
        after = next((c for c in tried if c is not None), None)
        before = _consequences(objective, NOTHING)
        fact = f"{name} changes the loss or the step"
        if after is None or before is None:
            yield Finding(objective.name, f"{fact}, but takes one value only", math.inf, 0.0)
        else:
            yield changes(objective.name, fact, after, before)


def _consequences(objective: Objective, at: Values) -> Tensor | None:
    """Losses, gradients and the next state in one row; None where the values are refused."""
    model = replicas(linear_gaussian(wrong=1.0), FEW, trained=True)
    try:
        parts = [*_losses_near_and_far(objective, 1.0, at)]
        parts += gradients(objective, model, examples(), at=at).values()
        if objective.update is not None:
            parts += _next_state(objective, model, at).values()
    except InputError:
        return None
    return torch.cat([part.detach().flatten() for part in parts])


def _check_warm_up(objective: Objective) -> Iterator[Finding]:
    """A weight on the rate reaches the loss, or is declared not to."""
    whole, half = (torch.stack(_losses_near_and_far(objective, w)) for w in (1.0, 0.5))
    if objective.ignores_rate:
        yield same(objective.name, "ignores a weight on the rate", whole, half)
    else:
        yield changes(objective.name, "a weight on the rate counts", whole, half)


def _losses_near_and_far(
    objective: Objective, rate_weight: float, at: Values = NOTHING
) -> list[Tensor]:
    """The losses at low and at high rates: a floor or a target may hide a change at one of them."""
    model = replicas(linear_gaussian(wrong=1.0), FEW)
    each = (equipped(draws(model, x), objective) for x in (examples(), far_examples()))
    return [loss_at(objective, replace(terms, rate_weight=rate_weight), at) for terms in each]


def _check_precision(objective: Objective) -> Finding:
    """In float32 the loss is float32, and close to that in float64."""
    model = replicas(linear_gaussian(wrong=1.0), FEW)
    exact = loss_at(objective, equipped(draws(model, examples()), objective))
    single = loss_at(objective, equipped(draws(model.float(), examples().float()), objective))
    off_by = largest(single.double() - exact) if single.dtype == torch.float32 else math.inf
    allowed = 1e-5 * (1.0 + float(exact.abs().max()))
    return Finding(objective.name, "float32 is close to float64", off_by, allowed)


def _check_range(objective: Objective) -> Finding:
    """Images have hundreds of nats, and samples that far apart: float32 must hold them."""
    terms = equipped(draws(replicas(linear_gaussian(wrong=1.0), FEW), examples()), objective)
    spread = torch.linspace(-1000.0, 0.0, terms.num_samples, dtype=torch.float64)[:, None, None]
    losses = []
    for dtype in (torch.float32, torch.float64):
        log_px_z = (terms.log_px_z - 500.0 + spread).to(dtype).requires_grad_()
        q = DiagonalGaussian(terms.mu.to(dtype), terms.log_var.to(dtype))
        far = replace(terms, q=q, z=terms.z.to(dtype), log_px_z=log_px_z, drawn=NOTHING_DRAWN)
        far = equipped(replace(far, auxiliary=None), objective)
        loss = loss_at(objective, far)
        total = loss.sum() + 0.0 * log_px_z.sum()  # a loss may have no gradient there
        (slope,) = torch.autograd.grad(total, log_px_z)
        losses.append(torch.cat([loss.flatten(), slope.flatten()]).detach().double())
    off_by = (losses[0] - losses[1]).abs() / (1.0 + losses[1].abs())
    return Finding(
        objective.name, "float32 holds a thousand nats", largest(off_by), 1e-4, "relative"
    )


def _check_no_trace(objective: Objective) -> Finding:
    """The loss modifies none of its inputs, and is the same when computed again."""
    terms = _two_runs(objective)
    seen = (terms.mu, terms.log_var, terms.z, terms.log_px_z)
    kept = [tensor.clone() for tensor in seen]
    losses = [loss_at(objective, replace(terms)) for _ in range(3)]
    changed = [largest(a - b) for a, b in zip(seen, kept, strict=True)]
    changed += [largest(losses[0] - loss) for loss in losses[1:]]
    return Finding(objective.name, "changes nothing that it sees", max(changed), 0.0)


def _check_update(objective: Objective) -> Finding:
    """One value per run of each state, blind to stack-mates."""
    first, second = linear_gaussian(wrong=1.0), linear_gaussian(wrong=0.5)
    stacked, alone = (_next_state(objective, m) for m in (beside(first, second), first))
    named = list(stacked) == list(objective.state)
    fits = named and all(tuple(value.shape) == (2, 1) for value in stacked.values())
    off_by = max(largest(stacked[n][:1] - alone[n]) for n in alone) if fits else math.inf
    return Finding(objective.name, "each run's state has one next value", off_by, ROUNDING)


def _next_state(objective: Objective, model: VAE, at: Values = NOTHING) -> dict[str, Tensor]:
    """The state after two steps: the first may have no past to weigh."""
    assert objective.update is not None
    state: dict[str, Tensor] = {}
    for stream in ("first", "second"):
        terms = equipped(draws(model, examples(), stream=stream), objective)
        state = objective.update(terms, **{**scalars_at(objective, terms, at), **state})
    return state


def _check_auxiliary(objective: Objective) -> Iterator[Finding]:
    """Model and auxiliary network each learn from their own loss only, in one backward pass."""
    assert objective.auxiliary is not None
    for fact, loss in (
        ("the auxiliary network learns nothing from the loss", partial(loss_at, objective)),
        ("the model learns nothing from the auxiliary network's loss", objective.auxiliary.loss),
    ):
        model = replicas(linear_gaussian(wrong=1.0), FEW, trained=True)
        terms = equipped(draws(model, examples()), objective)
        assert terms.auxiliary is not None
        terms.auxiliary.requires_grad_()
        blind = terms.auxiliary if loss is not objective.auxiliary.loss else model
        slopes = torch.autograd.grad(
            loss(terms).sum(), [*blind.parameters()], materialize_grads=True
        )
        yield Finding(objective.name, fact, max(map(largest, slopes)), 0.0)


def _two_runs(objective: Objective) -> Terms:
    """A stack of two models."""
    both = beside(linear_gaussian(wrong=1.0), linear_gaussian(wrong=0.5))
    return equipped(draws(both, examples()), objective)


def _of_run(terms: Terms, run: int) -> Terms:
    """The terms of one run of the stack."""
    assert terms.noise is not None
    return replace(
        terms,
        q=DiagonalGaussian(terms.mu[[run]], terms.log_var[[run]]),
        z=terms.z[:, [run]],
        log_px_z=terms.log_px_z[:, [run]],
        noise=replace(terms.noise, keys=(terms.noise.keys[run],)),
        drawn=NOTHING_DRAWN,
    )


def _moved(objective: Objective, name: str) -> float:
    return next(moved(objective.hyper[name], hyper_at(objective)[name]))
