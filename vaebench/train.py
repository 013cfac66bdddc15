"""The training loop: S runs that differ in seed and scalars, side by side, never mixed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType

import torch
from torch import Tensor

from vaebench import kernels
from vaebench.batches import batches
from vaebench.config import RunConfig
from vaebench.data import Dataset
from vaebench.evaluate.bounds import bounds
from vaebench.initial import build_stack, streams
from vaebench.models import VAE
from vaebench.noise import Noise
from vaebench.objectives import OBJECTIVES
from vaebench.optimise import StackAdam, clip_gradients, gradient_norms
from vaebench.posteriors.entry import Wanted
from vaebench.terms import Terms, compute_terms
from vaebench.trajectories import trajectories, trajectory

NUM_LOGGED = 40
"""Points of a learning curve."""
NUM_CURVE_IMAGES = 1000
"""Validation images behind each point, at most."""


@dataclass(frozen=True)
class Step:
    """What one training step did. The gradients it used stay in the model until the next."""

    index: int
    loss: Tensor  # [S] mean over the batch
    terms: Terms
    grad_norm: Tensor | None  # [S] before clipping, where there is clipping


@dataclass(frozen=True)
class Trained:
    """A stack after training; `diverged_at` has the step of each run whose loss left the reals."""

    model: VAE
    curves: dict[str, list[list[float]]]  # name -> [points][S]
    diverged_at: tuple[int | None, ...]


def training_steps(
    model: VAE, configs: Sequence[RunConfig], dataset: Dataset, ops: ModuleType = kernels
) -> Iterator[Step]:
    """THE loop: one step for every item that is asked for."""
    first = configs[0]
    objective = OBJECTIVES[first.objective.name]
    place = next(model.parameters())
    hyper = trajectories([c.objective for c in configs], first, place, objective.counts)
    posterior_hyper = trajectories([c.posterior for c in configs], first, place)
    rate_weight = trajectory([c.rate_weight for c in configs], first, place)
    state = {
        name: torch.full((len(configs), 1), value).to(place)
        for name, value in objective.initial_state.items()
    }
    optimiser = StackAdam(model, [c.train.learning_rate for c in configs])
    limits = torch.tensor([c.train.max_grad_norm or math.inf for c in configs]).to(place)
    clips = bool(limits.isfinite().any())
    noise = streams(configs, "train")
    wanted: Wanted = "kl"

    for index, x in enumerate(batches(configs, dataset, place)):
        terms = compute_terms(
            model,
            x,
            noise.at(step=index),
            num_samples=first.num_samples,
            rate_weight=rate_weight(index),
            posterior_hyper={name: value(index) for name, value in posterior_hyper.items()},
            num_examples=len(dataset.train.x),
            training=True,
            wanted=wanted,
            ops=ops,
        )
        scalars = {name: value(index) for name, value in hyper.items()} | state
        loss, wanted = objective(terms, **scalars), terms.wanted
        total = loss.mean(-1).sum()
        if objective.auxiliary:
            total = total + objective.auxiliary.loss(terms).mean(-1).sum()
        optimiser.zero_grad()
        total.backward()
        norms = clip_gradients(model, limits) if clips else None
        if objective.update:
            with torch.no_grad():
                state = objective.update(terms, **scalars)
        optimiser.step()
        yield Step(index, loss.detach().mean(-1), terms, norms)


def train(
    configs: Sequence[RunConfig],
    dataset: Dataset,
    device: torch.device,
    on_steps: Callable[[int], None] = lambda steps: None,
) -> Trained:
    """Train a stack to the end. A run that diverges is noted; the others go on untouched."""
    model = build_stack(configs, dataset.num_pixels, dataset.log_volume).to(device)
    num_steps = configs[0].train.num_steps
    every = max(1, num_steps // NUM_LOGGED)
    x_valid = dataset.observe("valid")[:NUM_CURVE_IMAGES].to(device)
    noise = streams(configs, "curve")
    diverged_at = torch.full((len(configs),), -1, device=device)
    curves: dict[str, list[list[float]]] = {name: [] for name in CURVES}

    for step in training_steps(model, configs, dataset):
        lost = (diverged_at < 0) & ~step.loss.isfinite()
        diverged_at = torch.where(lost, step.index, diverged_at)
        if step.index % every == every - 1:
            for name, values in _point(step, model, x_valid, noise).items():
                curves[name].append(values.tolist())
            on_steps(every)
            if bool((diverged_at >= 0).all()):
                break
    lost = (diverged_at < 0) & ~_finite_weights(model)
    diverged_at = torch.where(lost, num_steps - 1, diverged_at)
    stopped = [None if step < 0 else step for step in diverged_at.tolist()]
    return Trained(model, curves, tuple(stopped))


CURVES = ("step", "loss_nats", "rate_nats", "distortion_nats", "grad_norm", "valid_elbo_nats")


def _point(step: Step, model: VAE, x_valid: Tensor, noise: Noise) -> dict[str, Tensor]:
    """One point of the learning curves: [S] each."""
    return {
        "step": torch.full_like(step.loss, step.index + 1),
        "loss_nats": step.loss,
        "rate_nats": step.terms.kl_or_estimate.detach().mean(-1),
        "distortion_nats": step.terms.distortion.detach().mean(-1),
        "grad_norm": gradient_norms(model) if step.grad_norm is None else step.grad_norm,
        "valid_elbo_nats": bounds(model, x_valid, noise, num_samples=1).elbo.mean(-1),
    }


def _finite_weights(model: VAE) -> Tensor:
    """Whether all parameters of each run are finite: [S]."""
    return torch.stack([p.flatten(1).isfinite().all(1) for p in model.parameters()]).all(0)
