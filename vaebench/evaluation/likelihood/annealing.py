"""Annealed importance sampling between a prior and a posterior, in both directions.

Shapes: K chains, S runs, B examples, D dimensions; T temperatures after that of the prior.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from vaebench.evaluation.likelihood.hmc import STREAM_STEPS, Point, Target, point_at, transition
from vaebench.ops.noise import Noise

SCHEDULE_ENDS = 4.0
"""delta of the sigmoid schedule, as in the code of Wu et al. 2017."""
PILOT_CHAINS = 4
PILOT_TEMPERATURES = 200
"""Temperatures of the pilot at most: step sizes change slowly, and chains take the nearest one."""
WARM_UP = 20
"""Transitions of the pilot at the first temperature, on which the steps find their size."""
FIRST_STEP = 0.3
WANTED_ACCEPTANCE = 0.65
"""Near the best for HMC (Neal 2011, section 4.4), and what Wu et al. 2017 adapt to."""
GAIN = 0.5
"""Change of a log step size for an acceptance off by one. With four chains the log steps then vary
by 0.1 around the best, and follow a change within a few temperatures."""


def temperatures(num: int) -> list[float]:
    """0 = t_0 < ... < t_T = 1 along a sigmoid, dense near both ends.

    Grosse et al. 2015 and Wu et al. 2017: sigmoid(delta (2 i / T - 1)), shifted and scaled.
    """
    steps = torch.linspace(-SCHEDULE_ENDS, SCHEDULE_ENDS, num + 1, dtype=torch.float64).sigmoid()
    return ((steps - steps[0]) / (steps[-1] - steps[0])).tolist()


@dataclass(frozen=True)
class AnnealingPlan:
    """How many temperatures, chains and leapfrog steps lead from the prior to the posterior."""

    num_temperatures: int
    num_chains: int
    num_leapfrog: int

    @property
    def temperatures(self) -> list[float]:
        """The temperatures from 0, the prior, to 1, the posterior."""
        return temperatures(self.num_temperatures)


class Annealed(NamedTuple):
    """Weights and acceptance of one pass of chains."""

    log_w: Tensor  # [K, S, B] in float64
    acceptance: Tensor  # [S, B] mean over chains and transitions


def num_transitions(num_temperatures: int) -> int:
    """How many transitions each of the pilot's chains makes."""
    return WARM_UP + min(num_temperatures, PILOT_TEMPERATURES) - 1


def adapted_steps(target: Target, z: Tensor, plan: AnnealingPlan, noise: Noise) -> Tensor:
    """Step sizes for the T - 1 temperatures between the ends: [T - 1, S, B].

    From a pilot's chains, which start from codes of the prior z [K, S, B, D]. Its weights are not
    used: steps that follow a chain's own past would bias them.
    """
    num = min(plan.num_temperatures, PILOT_TEMPERATURES)
    inner = temperatures(num)[1:-1]
    ladder = [*inner[:1] * WARM_UP, *inner]
    point = point_at(target, z)
    log_step = torch.full_like(point.log_pz[0], FIRST_STEP).log()
    step_sizes = []
    for i, temperature in enumerate(ladder):
        settings = temperature, log_step.exp(), plan.num_leapfrog, _at(noise, i)
        point, chance = transition(target, point, *settings)
        log_step = log_step + GAIN * (chance.mean(0) - WANTED_ACCEPTANCE)
        step_sizes.append(log_step.exp())
    places = torch.linspace(0, num, plan.num_temperatures + 1)[1:-1].round().clamp(1, num - 1)
    return torch.stack(step_sizes[WARM_UP:])[places.long() - 1]


def forward(
    target: Target, z: Tensor, steps: Tensor, plan: AnnealingPlan, noise: Noise
) -> Annealed:
    """Chains from exact samples of the prior: E[w] = p(x) for any steps (Neal 2001, section 2)."""
    return _annealed(target, point_at(target, z), plan.temperatures, steps, plan, noise)


def backward(
    target: Target, z: Tensor, steps: Tensor, plan: AnnealingPlan, noise: Noise
) -> Annealed:
    """Chains from exact samples of the posterior: E[1 / w] = 1 / p(x).

    The same path, walked the other way (Grosse et al. 2015, bidirectional Monte Carlo).
    """
    reversed_path = plan.temperatures[::-1]
    passed = _annealed(target, point_at(target, z), reversed_path, steps.flip(0), plan, noise)
    return Annealed(-passed.log_w, passed.acceptance)


def _annealed(
    target: Target,
    point: Point,
    path: list[float],
    steps: Tensor,
    plan: AnnealingPlan,
    noise: Noise,
) -> Annealed:
    """sum_i (t_{i+1} - t_i) log p(x|z_i), z_i a transition at t_i from z_{i-1}."""
    log_w = torch.zeros_like(point.log_px_z, dtype=torch.float64)
    acceptance = torch.zeros_like(point.log_px_z[0])
    for i, (here, there) in enumerate(itertools.pairwise(path)):
        if i:
            settings = here, steps[i - 1], plan.num_leapfrog, _at(noise, i)
            point, chance = transition(target, point, *settings)
            acceptance = acceptance + chance.mean(0)
        log_w = log_w + (there - here) * point.log_px_z.double()
    return Annealed(log_w, acceptance / len(steps))


def _at(noise: Noise, transition: int) -> Noise:
    return noise.at(step=noise.step + STREAM_STEPS * transition)
