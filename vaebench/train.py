"""The training loop: S runs that differ in seed and scalars, side by side, never mixed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType

import torch
from torch import Tensor

from vaebench import kernels
from vaebench.config import Choice, RunConfig
from vaebench.data import Dataset
from vaebench.evaluate.bounds import bounds
from vaebench.likelihoods import LIKELIHOODS
from vaebench.models import VAE, Family, build
from vaebench.noise import Noise, key, permutations
from vaebench.objectives import OBJECTIVES
from vaebench.posteriors import POSTERIORS
from vaebench.posteriors.entry import Wanted
from vaebench.priors import PRIORS
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


def streams(configs: Sequence[RunConfig], name: str) -> Noise:
    """The random numbers of each run, of one purpose. Runs with one seed share them."""
    return Noise(tuple(key(c.seed, name) for c in configs))


def build_stack(configs: Sequence[RunConfig], num_pixels: int, log_volume: float = 0.0) -> VAE:
    """A new model for the stack, each run initialised from its own seed.

    `log_volume`: that of the data set, which is not 0 where it is dequantised.
    """
    first = configs[0]
    auxiliary = OBJECTIVES[first.objective.name].auxiliary
    network = auxiliary.network if auxiliary else None
    family = Family(
        LIKELIHOODS[first.likelihood.name],
        POSTERIORS[first.posterior.name],
        PRIORS[first.prior.name],
        first.model.latent,
        first.model.num_components,
        network,
    )
    return build(
        first.model.name,
        family,
        pixels=num_pixels,
        widths=first.model.widths,
        noise=streams(configs, "init"),
        likelihood_hyper=_stacked([c.likelihood for c in configs]),
        prior_hyper=_stacked([c.prior for c in configs]),
        log_volume=log_volume,
    )


def _stacked(choices: Sequence[Choice]) -> dict[str, Tensor]:
    """The numbers of each run, by name: [S, 1] each."""
    return {
        name: torch.tensor([[choice.hyper[name]] for choice in choices], dtype=torch.float64)
        for name in choices[0].hyper
    }


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


def batches(configs: Sequence[RunConfig], dataset: Dataset, place: Tensor) -> Iterator[Tensor]:
    """Minibatches [S, B, P], each run shuffling by its own seed; a last short batch is left out."""
    train, size = configs[0].train, configs[0].train.batch_size
    noise = streams(configs, "batches")
    per_epoch = len(dataset.train.x) // size
    for epoch in range(-(-train.num_steps // per_epoch)):
        x = dataset.observe("train", epoch).to(place)
        order = permutations(noise.at(step=epoch), len(x)).to(place.device)
        for i in range(min(per_epoch, train.num_steps - epoch * per_epoch)):
            rows = order[:, i * size : (i + 1) * size]
            yield x.index_select(0, rows.flatten()).unflatten(0, rows.shape)


class StackAdam:
    """torch.optim.Adam (Kingma & Ba 2015), fused, with a learning rate for each run of a stack.

    Neighbouring runs with one rate are one parameter group, which holds views of their parameters.
    """

    def __init__(self, model: VAE, rates: Sequence[float]) -> None:
        self.parameters = list(model.parameters())
        ends = list(itertools.accumulate(len(list(g)) for _, g in itertools.groupby(rates)))
        self.runs = [slice(a, b) for a, b in zip([0, *ends], ends, strict=False)]
        self.views = [[p.detach()[runs] for p in self.parameters] for runs in self.runs]
        groups = [
            {"params": views, "lr": rates[runs.start]}
            for views, runs in zip(self.views, self.runs, strict=True)
        ]
        self.adam = torch.optim.Adam(groups, fused=True)

    def zero_grad(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    def step(self) -> None:
        for views, runs in zip(self.views, self.runs, strict=True):
            for view, parameter in zip(views, self.parameters, strict=True):
                view.grad = None if parameter.grad is None else parameter.grad[runs]
        self.adam.step()


def gradient_norms(model: VAE) -> Tensor:
    """The norm of the gradient of each run's loss: [S]."""
    grads = [p.grad.flatten(1) for p in model.main_parameters() if p.grad is not None]
    return torch.stack([torch.linalg.vector_norm(g, dim=1) for g in grads]).norm(dim=0)


def clip_gradients(model: VAE, limits: Tensor) -> Tensor:
    """Scale each run's gradient down to its limit [S], never over the stack; the norms before."""
    norms = gradient_norms(model)
    scale = torch.where(norms > limits, limits / norms, torch.ones_like(norms))
    for parameter in model.main_parameters():
        if parameter.grad is not None:
            parameter.grad *= scale.view(-1, *[1] * (parameter.grad.dim() - 1))
    return norms


def _finite_weights(model: VAE) -> Tensor:
    """Whether all parameters of each run are finite: [S]."""
    return torch.stack([p.flatten(1).isfinite().all(1) for p in model.parameters()]).all(0)
