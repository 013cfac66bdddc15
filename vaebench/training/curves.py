"""What is kept of training: learning curves, and which runs are to go on."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

from vaebench.config import RunConfig
from vaebench.config.build import streams
from vaebench.data import Dataset
from vaebench.evaluation.chunks import bytes_for
from vaebench.evaluation.codes.layers import rates_of_layers
from vaebench.evaluation.likelihood.bounds import bounds, rows_of_chunk
from vaebench.models import VAE, put_back, select
from vaebench.models.posteriors import POSTERIORS
from vaebench.models.priors import PRIORS
from vaebench.ops.noise import Noise
from vaebench.training.averaged import graded
from vaebench.training.descent import gradient_norms
from vaebench.training.progress import Progress
from vaebench.training.scalars import settled
from vaebench.training.step import Measured

NUM_LOGGED = 40
"""Points of a learning curve."""
NUM_CURVE_IMAGES = 1000
"""Validation images behind each point, at most."""
CURVES = ("step", "loss_nats", "rate_nats", "distortion_nats", "grad_norm", "valid_elbo_nats")

Curve = dict[str, list[float]]
"""The curves of one run: a value for each point, by name."""
P = TypeVar("P")


@dataclass(frozen=True)
class Ending:
    """How far a run of a stack went, and which of its weights are kept."""

    steps: int
    """Steps that were taken."""
    kept: int
    """Steps after which the weights were those that are kept."""


@dataclass(frozen=True)
class Step(Generic[P]):
    """The results of the last training step of a block, with the losses of all its steps."""

    index: int
    losses: Tensor  # [T, S] mean over the batch, of every step of the block
    terms: Measured
    grad_norm: Tensor | None  # [S] before clipping; None: the model has the gradients
    progress: P
    """What the next step starts from."""

    @property
    def loss(self) -> Tensor:
        """The loss of this step: [S]."""
        return self.losses[-1]


def interval(num_steps: int) -> int:
    """Steps from one point of the learning curve to the next."""
    return max(1, num_steps // NUM_LOGGED)


class Log:
    """The curves of S runs. Losses are read at the points alone: reading waits for the device."""

    def __init__(
        self, configs: Sequence[RunConfig], dataset: Dataset, until: int | None = None
    ) -> None:
        self.configs, self.dataset, self.until = configs, dataset, until
        self.num_steps = configs[0].train.num_steps if until is None else until
        self.steps_left = self.num_steps * len(configs)
        self.every = interval(configs[0].train.num_steps)
        self.x_valid = dataset.observations("valid")[:NUM_CURVE_IMAGES]
        names = (*CURVES, *_names_of_layers(configs[0]))
        self.curves: list[Curve] = [{name: [] for name in names} for _ in configs]
        self.settled = [settled(config) for config in configs]
        self.diverged_at: dict[int, int] = {}
        self.best: dict[int, VAE] = {}
        self.unread: list[Tensor] = []
        self.runs: Sequence[int] = range(len(configs))
        self.num_rows: dict[int, int] = {}
        """Rows of a chunk of the evaluation, by the number of runs: counted once, not at each
        point."""

    def resume(self, curves: Sequence[Curve], best: dict[int, VAE], taken: int) -> None:
        """Go on from where runs paused, which had taken so many steps in all."""
        self.curves = [{name: [*values] for name, values in curve.items()} for curve in curves]
        self.best = best
        self.steps_left -= taken

    def runs_leave(self, step: Step[Progress], model: VAE, runs: Sequence[int]) -> bool:
        """Record a step of these runs.

        Returns whether some of them are to leave after it, or all are to pause.
        """
        self.unread.append(step.losses)
        self.runs = runs
        if step.index % self.every != self.every - 1:
            return False
        self._read_losses(step.index)
        configs = [self.configs[run] for run in runs]
        noise = streams(configs, "curve")
        x = self.x_valid.to(step.loss)
        if model.num_runs not in self.num_rows:
            self.num_rows[model.num_runs] = rows_of_chunk(model, x, noise, bytes_for(x.device))
        num_rows = self.num_rows[model.num_runs]
        kept = graded(model, step.progress, configs, self.dataset)
        elbo = bounds(kept, x, noise, num_samples=1, num_rows=num_rows).elbo
        point = _point(step, model, elbo) | _of_layers(kept, x, noise, self.configs[0])
        for name, values in point.items():
            for run, value in zip(runs, values.tolist(), strict=True):
                self.curves[run][name].append(value)
        self._keep_best(kept, runs)
        gone = [run for run in runs if not self.goes_on(run)]
        not_taken = (self.num_steps - step.index - 1) * len(gone)
        self.steps_left -= self.every * len(runs) + not_taken
        return bool(gone) or step.index + 1 == self.until

    def point(self, run: int) -> dict[str, float]:
        """The last point of a run's curves."""
        return {name: values[-1] for name, values in self.curves[run].items()}

    def goes_on(self, run: int) -> bool:
        """Whether a run has neither diverged nor run out of patience."""
        return run not in self.diverged_at and not self._is_out_of_patience(run)

    def finish(self, model: VAE) -> None:
        """Read what is left, and put the best weights of runs that keep them in the model.

        A run whose last losses, or whose weights, became NaN or infinite has diverged too.
        """
        self._read_losses(self.num_steps - 1)
        for run, finite in enumerate(_finite_weights(model).tolist()):
            if not finite:
                self.diverged_at.setdefault(run, self.num_steps - 1)
        for run, best in self.best.items():
            put_back(model, best, [run])

    def ending(self, run: int) -> Ending | None:
        """How a run ended; None for one that diverged."""
        if run in self.diverged_at:
            return None
        steps, elbos = self._counted(run)
        last = self.num_steps if self.goes_on(run) else int(self.curves[run]["step"][-1])
        return Ending(last, int(steps[elbos.index(max(elbos))]) if run in self.best else last)

    def _keep_best(self, model: VAE, runs: Sequence[int]) -> None:
        """Copy the weights of those runs that keep their best and are there now."""
        for position, run in enumerate(runs):
            if self.configs[run].train.keep != "best":
                continue
            _, elbos = self._counted(run)
            if elbos and elbos[-1] > max([-math.inf, *elbos[:-1]]):
                self.best[run] = select(model, [position])

    def _counted(self, run: int) -> tuple[list[float], list[float]]:
        """Steps and validation ELBOs of the points that count: since every schedule has ended."""
        curve = self.curves[run]
        first = bisect.bisect_right(curve["step"], self.settled[run])
        elbos = [e if math.isfinite(e) else -math.inf for e in curve["valid_elbo_nats"][first:]]
        return curve["step"][first:], elbos

    def _read_losses(self, index: int) -> None:
        """Read the losses of the steps up to `index`, and note which runs have diverged."""
        if not self.unread:
            return
        lost = ~torch.cat(self.unread).isfinite()
        first = index + 1 - len(lost) + lost.int().argmax(0)
        runs = zip(self.runs, lost.any(0).tolist(), first.tolist(), strict=True)
        self.diverged_at |= {run: step for run, diverged, step in runs if diverged}
        self.unread = []

    def _is_out_of_patience(self, run: int) -> bool:
        patience = self.configs[run].train.patience
        if patience is None:
            return False
        _, elbos = self._counted(run)
        if len(elbos) <= patience:
            return False
        return max(elbos[-patience:]) <= max(elbos[:-patience])


def _point(step: Step[Progress], model: VAE, valid_elbo: Tensor) -> dict[str, Tensor]:
    """One point of the learning curves: [S] each, of validation ELBOs [S, N]."""
    return {
        "step": torch.full_like(step.loss, step.index + 1),
        "loss_nats": step.loss,
        "rate_nats": step.terms.kl_or_estimate.detach().mean(-1),
        "distortion_nats": step.terms.distortion.detach().mean(-1),
        "grad_norm": gradient_norms(model) if step.grad_norm is None else step.grad_norm,
        "valid_elbo_nats": valid_elbo.mean(-1),
    }


def _names_of_layers(config: RunConfig) -> list[str]:
    """The curves of layers of latents, where q and p have several."""
    posterior, prior = POSTERIORS[config.posterior.name], PRIORS[config.prior.name]
    num_layers = len(config.model.layer_dims) if posterior.conditionals and prior.layered else 0
    return [f"rate_layer_{i}_nats" for i in range(1, num_layers + 1)] if num_layers > 1 else []


def _of_layers(model: VAE, x: Tensor, noise: Noise, config: RunConfig) -> dict[str, Tensor]:
    """The rate of each layer on validation images [N, P], of one code each: [S] each, by name."""
    names = _names_of_layers(config)
    rates = rates_of_layers(model, x, noise.named("layers"), num_samples=1) if names else None
    return {} if rates is None else dict(zip(names, rates.mean(1).unbind(-1), strict=True))


def _finite_weights(model: VAE) -> Tensor:
    """Whether all parameters of each run are finite: [S]."""
    return torch.stack([p.flatten(1).isfinite().all(1) for p in model.parameters()]).all(0)
