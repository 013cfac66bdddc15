"""What objectives of the aggregate posterior declare, where q(z) is an exact Gaussian."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from vaebench.diagnostics.certify.cases.hyperparameters import two_values
from vaebench.diagnostics.certify.exact.gaussian_population import (
    EXAMPLES_PER_ROW,
    LARGE,
    LATENT,
    LOG_VARIANCE,
    MEAN_X,
    MINIBATCHES,
    SHIFT_Z,
    TO_X,
    TO_Z,
    double,
    minibatches,
)
from vaebench.diagnostics.certify.finding import Finding, expected
from vaebench.models.terms import Terms
from vaebench.objectives import Auxiliary, Objective
from vaebench.ops import densities

SECOND_ORDER = 1.5
"""Allowed is this many times the bias of first order in 1/B, for what follows it."""


@dataclass(frozen=True)
class Aggregate:
    """q(z) = N(mean, mean_covariance + diag(variance)), with what objectives penalise of it.

    With a finite `num_rows`, B, each quantity that only a biased estimate from a minibatch exists
    of is moved by the size of that bias, to first order in 1/B; unbiased ones stay.
    """

    mean: Tensor  # [D] of q(z)
    mean_covariance: Tensor  # [D, D] of the means of q(z|x)
    variance: Tensor  # [D] of q(z|x)
    num_examples: int = 1
    num_rows: float = math.inf

    @property
    def latent_dim(self) -> int:
        """D."""
        return len(self.mean)

    @property
    def covariance(self) -> Tensor:
        """The covariance of q(z): [D, D]."""
        return self.mean_covariance + self.variance.diag()

    @property
    def rate(self) -> float:
        """E_x KL[q(z|x) || p(z)]."""
        squares = self.mean.square() + self.mean_covariance.diagonal()
        return 0.5 * float((squares + self.variance - 1.0 - self.variance.log()).sum())

    @property
    def mutual_information(self) -> float:
        """KL[q(z, x) || q(z) q(x)]."""
        exact = 0.5 * float(self.covariance.logdet() - self.variance.log().sum())
        return exact + self._bias_of_log_q()

    @property
    def total_correlation(self) -> float:
        """KL[q(z) || prod_d q(z_d)]."""
        exact = 0.5 * float(self.covariance.diagonal().log().sum() - self.covariance.logdet())
        return exact + self._bias_of_log_q() + self._bias_of_log_q_d()

    @property
    def dimension_kl(self) -> float:
        """sum_d KL[q(z_d) || p(z_d)]."""
        diagonal = self.covariance.diagonal()
        exact = 0.5 * float((self.mean.square() + diagonal - 1.0 - diagonal.log()).sum())
        return exact + self._bias_of_log_q_d()

    def off_diagonal_squares(self, covariance: Tensor) -> float:
        """The sum of the squares off the diagonal. Of an estimate, each has its variance added."""
        on = covariance.diagonal()
        squares = covariance.square()
        variances = (on[:, None] * on + 3.0 * squares) / self.num_rows
        return float(_off_diagonal(squares + variances).sum())

    def diagonal_squares(self, covariance: Tensor) -> float:
        """The sum of (element - 1)^2 over the diagonal. Of an estimate, with its variance."""
        on = covariance.diagonal()
        variances = 2.0 * (on.square() + (on - 1.0).abs() * on) / self.num_rows
        return float(((on - 1.0).square() + variances).sum())

    def rbf_mmd(self, scale: float) -> float:
        """MMD^2 of q(z) and N(0, I), kernel exp(-scale d^2)."""
        q, p = self.covariance, torch.eye(self.latent_dim, dtype=self.mean.dtype)
        none = torch.zeros_like(self.mean)
        between = _mean_rbf(scale, self.mean, q + p)
        return _mean_rbf(scale, none, 2.0 * q) + _mean_rbf(scale, none, 2.0 * p) - 2.0 * between

    def imq_mmd(self, c: float) -> float:
        """MMD^2 of q(z) and N(0, I), kernel c / (c + d^2) = E[exp(-u d^2 / c)], u ~ Exp(1)."""
        points, weights = np.polynomial.laguerre.laggauss(60)
        return sum(w * self.rbf_mmd(u / c) for u, w in zip(points, weights, strict=True))

    def _bias_of_log_q(self) -> float:
        """The bias of an estimate of log q(z) by a log-mean of B densities, one of z's own example.

        The log-mean is too low by half the variance of q(z|x) / q(z) over B, the own one makes it
        too high by the whole; the variance is exp(2 I) - 1 of Gaussians, I their information.
        """
        ratio = float(self.covariance.det() / self.variance.prod())
        return 0.5 * (ratio - 1.0) / self.num_rows

    def _bias_of_log_q_d(self) -> float:
        """The bias of the estimate of sum_d log q(z_d), as in `_bias_of_log_q`."""
        ratios = self.covariance.diagonal() / self.variance
        return 0.5 * float((ratios - 1.0).sum()) / self.num_rows


def _mean_rbf(scale: float, shift: Tensor, covariance: Tensor) -> float:
    """E exp(-scale |d|^2), d ~ N(shift, covariance)."""
    wide = torch.eye(len(shift), dtype=shift.dtype) + 2.0 * scale * covariance
    return float(wide.det().rsqrt() * torch.exp(-scale * shift @ wide.inverse() @ shift))


def _off_diagonal(matrix: Tensor) -> Tensor:
    return matrix - matrix.diagonal().diag()


Penalty = Callable[[Aggregate], float]


def aggregate(num_examples: int, num_rows: float = math.inf) -> Aggregate:
    """The exact aggregate posterior of the population."""
    to_mean = double(TO_Z) @ double(TO_X)
    mean = double(TO_Z) @ double(MEAN_X) + double(SHIFT_Z)
    variance = double(LOG_VARIANCE).exp()
    return Aggregate(mean, to_mean @ to_mean.T, variance, num_examples, num_rows)


class ExactCritic(nn.Module):
    """log q(z) - sum_d log q(z_d), the log-odds that a code's dimensions are of one example.

    [S, n, D] -> [S, n, 1]. `moved`, at 0, adds other functions of z, one weight per run.
    """

    NUM_OTHERS = 2 + LATENT

    def __init__(self, q: Aggregate, num_runs: int) -> None:
        super().__init__()
        self.q = q
        self.moved = nn.Parameter(torch.zeros(num_runs, self.NUM_OTHERS, 1, dtype=torch.float64))

    def forward(self, z: Tensor) -> Tensor:
        mean, covariance = self.q.mean, self.q.covariance
        joint = densities.cholesky_gaussian_log_prob(z, mean, torch.linalg.cholesky(covariance))
        alone = densities.gaussian_log_prob(z, mean, covariance.diagonal().log())
        log_odds = (joint - alone)[..., None]
        others = torch.cat([torch.ones_like(log_odds), log_odds, z * z.roll(1, -1)], -1)
        return log_odds + others @ self.moved


# ------------------------------------------------------------------ the checks


def check_aggregate(objective: Objective) -> Iterator[Finding]:
    """What the loss is declared to grow by with each hyperparameter of a penalty."""
    for num_rows in MINIBATCHES if objective.penalises else ():
        slopes = [_slopes(objective, terms) for terms in minibatches(num_rows)]
        for name, penalty in objective.penalises.items():
            exact, loose = _exact(penalty, num_rows), _exact(penalty, num_rows, num_rows)
            growth = torch.cat([slope[name] for slope in slopes])
            fact = f"grows with {name} as declared, B={num_rows}"
            bias = SECOND_ORDER * abs(loose - exact)
            yield expected(objective.name, fact, growth, double(exact), bias)
    if objective.penalises and objective.auxiliary:
        yield _check_network(objective.name, objective.auxiliary)


def _exact(penalty: Penalty, num_rows: int, up_to: float = math.inf) -> float:
    return penalty(aggregate(EXAMPLES_PER_ROW * num_rows, up_to))


def _slopes(objective: Objective, terms: Terms) -> dict[str, Tensor]:
    """How the mean loss of each minibatch grows with each hyperparameter: [S] by name."""
    if objective.auxiliary:
        terms = _with_critic(terms)
    values = {name: two_values(hyper) for name, hyper in objective.hyper.items()}
    start = {
        name: values[name][0] if hyper.default is None else hyper.default
        for name, hyper in objective.hyper.items()
    }
    before = objective(terms, **start).mean(-1)
    slopes = {}
    for name in objective.penalises:
        first, second = (value - start[name] for value in values[name])
        step = first or second
        after = objective(terms, **start | {name: start[name] + step}).mean(-1)
        slopes[name] = (after - before) / step
    return slopes


def _with_critic(terms: Terms) -> Terms:
    """The terms with the optimal discriminator as their auxiliary network."""
    critic = ExactCritic(aggregate(terms.num_examples), terms.shape[0])
    return dataclasses.replace(terms, auxiliary=critic)


def _check_network(name: str, auxiliary: Auxiliary) -> Finding:
    """What the network is trained on is stationary at the exact log-odds."""
    slopes: list[Tensor] = []
    for terms in map(_with_critic, minibatches(LARGE)):
        assert isinstance(terms.auxiliary, ExactCritic)
        loss = auxiliary.loss(terms).mean(-1).sum()
        slopes += torch.autograd.grad(loss, [terms.auxiliary.moved])
    # Of B / 2 examples, an order of each dimension leaves two together once in B / 2 codes.
    bias = 2.0 / LARGE
    fact = "its network is trained towards the log-odds of q(z) to the product of its marginals"
    return expected(name, fact, torch.cat(slopes), double(0.0), bias)
