"""The derivation of the ELBO, equation by equation, with both sides' numbers.

On the linear-Gaussian VAE, at a q(z|x) that is not the posterior. No side is computed from the
other: posteriors by conditioning the joint Gaussian of x and z, or by adding up precisions;
expectations by their formulas, or by points and weights that are exact for every quadratic.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence

from vaebench.diagnostics.certify.exact.linear_gaussian import (
    SIGMA,
    exact_log_px,
    examples,
    linear_gaussian,
)
from vaebench.diagnostics.certify.finding import ROUNDING
from vaebench.models import VAE, StackedLinear
from vaebench.models.posteriors.gaussian import DiagonalGaussian
from vaebench.models.terms import Terms
from vaebench.objectives import OBJECTIVES
from vaebench.ops.densities import LOG_2PI


@dataclass(frozen=True)
class Step:
    """One equation of the derivation, and the numbers of its two sides."""

    equation: str
    left: float
    right: float

    @property
    def difference(self) -> float:
        return abs(self.left - self.right)

    @property
    def holds(self) -> bool:
        return self.difference <= ROUNDING

    def as_row(self) -> dict[str, str]:
        """The equation as a row of a table."""
        return {
            "equation": self.equation,
            "left": f"{self.left:.12f}",
            "right": f"{self.right:.12f}",
            "difference": f"{self.difference:.1e}",
            "result": "holds" if self.holds else "FAILS",
        }


def derivation() -> list[Step]:
    """The equations from Bayes' rule to the loss."""
    wrong, true = (_Numbers(linear_gaussian(wrong=wrong)) for wrong in (1.0, 0.0))
    return [*_bayes(wrong), *_divergence(wrong), *_bound(wrong), _closed_gap(true)]


def _bayes(m: _Numbers) -> Iterator[Step]:
    """Bayes' rule at one z."""
    z, by_conditioning, by_precisions = m.a_code, m.conditioned, m.by_precisions
    left = float(by_conditioning.log_prob(z).exp())
    right = float(m.log_px_z(z).exp() * m.log_pz(z).exp()) / math.exp(m.log_px)
    yield Step("p(z|x) = p(x|z) p(z) / p(x)", left, right)
    left, right = float(by_precisions.log_prob(z)), float(m.log_px_z(z) + m.log_pz(z)) - m.log_px
    yield Step("log p(z|x) = log p(x|z) + log p(z) - log p(x)", left, right)


def _divergence(m: _Numbers) -> Iterator[Step]:
    """The KL from q(z|x) to the posterior."""
    posterior = m.by_precisions
    right = m.expected(lambda z: m.q.log_prob(z) - posterior.log_prob(z))
    yield Step("KL[q(z|x) || p(z|x)] = E_q[log q(z|x) - log p(z|x)]", m.kl_to_posterior, right)
    right = m.expected(lambda z: m.q.log_prob(z) - m.log_px_z(z) - m.log_pz(z) + m.log_px)
    equation = "... = E_q[log q(z|x) - log p(x|z) - log p(z) + log p(x)]"
    yield Step(equation, m.kl_to_posterior, right)
    right = m.expected_log_q - m.expected_log_px_z - m.expected_log_pz + m.log_px
    equation = "... = E_q[log q(z|x) - log p(x|z) - log p(z)] + log p(x)"
    yield Step(equation, m.kl_to_posterior, right)


def _bound(m: _Numbers) -> Iterator[Step]:
    """The KL rearranged to the ELBO, and the ELBO as a loss."""
    left, kl_to_posterior = m.log_px - m.kl_to_posterior, "log p(x) - KL[q(z|x) || p(z|x)]"
    right = m.expected(m.log_px_z) - m.expected(lambda z: m.q.log_prob(z) - m.log_pz(z))
    equation = f"{kl_to_posterior} = E_q[log p(x|z)] - E_q[log q(z|x) - log p(z)]"
    yield Step(equation, left, right)
    right = m.expected_log_px_z - m.kl_to_prior
    equation = f"{kl_to_posterior} = E_q[log p(x|z)] - KL[q(z|x) || p(z)] = ELBO"
    yield Step(equation, left, right)
    equation = "loss (elbo) = -ELBO = -E_q[log p(x|z)] + KL[q(z|x) || p(z)]"
    yield Step(equation, m.loss("elbo"), -right)
    equation = "loss (elbo_mc) = -ELBO = -E_q[log p(x|z) + log p(z) - log q(z|x)]"
    yield Step(equation, m.loss("elbo_mc"), -left)


def _closed_gap(m: _Numbers) -> Step:
    return Step("where q(z|x) = p(z|x): ELBO = log p(x)", -m.loss("elbo"), m.log_px)


@dataclass(frozen=True)
class _Numbers:
    """Closed forms of one model, x and q(z|x)."""

    model: VAE

    @cached_property
    def x(self) -> Tensor:
        return examples()[0]

    @property
    def a_code(self) -> Tensor:
        """A fixed code: [D]."""
        return torch.linspace(-0.5, 0.8, self.weight.shape[1], dtype=torch.float64)

    @property
    def weight(self) -> Tensor:
        """W of x = Wz + b: [P, D]."""
        assert isinstance(self.model.decoder, StackedLinear)
        return self.model.decoder.weight[0].T

    @property
    def centred(self) -> Tensor:
        """x - b: [P]."""
        assert isinstance(self.model.decoder, StackedLinear)
        return self.x - self.model.decoder.bias[0, 0]

    @cached_property
    def diagonal(self) -> DiagonalGaussian:
        """q(z|x) as the encoder gives it: [1, 1, D]."""
        q = self.model.posterior(self.x[None, None])
        assert isinstance(q, DiagonalGaussian)
        return q

    @property
    def q(self) -> MultivariateNormal:
        return MultivariateNormal(self.diagonal.mu[0, 0], self.variance.diag())

    @property
    def variance(self) -> Tensor:
        """The variance of q(z|x): [D]."""
        return self.diagonal.log_var[0, 0].exp()

    # -------------------------------------------------------------- densities

    @cached_property
    def log_px(self) -> float:
        """log p(x), of the marginal Gaussian."""
        return float(exact_log_px(self.model, self.x))

    @property
    def conditioned(self) -> MultivariateNormal:
        """p(z|x) from the covariances of x and z: mean C_zx C_xx^-1 (x - b)."""
        between = self.weight.T
        of_x = self.weight @ self.weight.T + SIGMA**2 * torch.eye(len(self.x)).double()
        gain = torch.linalg.solve(of_x, between.T).T
        return MultivariateNormal(gain @ self.centred, self.identity - gain @ between.T)

    @property
    def by_precisions(self) -> MultivariateNormal:
        """p(z|x), whose precision is that of the prior and that of the likelihood together."""
        precision = self.identity + self.weight.T @ self.weight / SIGMA**2
        mean = torch.linalg.solve(precision, self.weight.T @ self.centred / SIGMA**2)
        return MultivariateNormal(mean, precision_matrix=precision)

    @property
    def identity(self) -> Tensor:
        return torch.eye(self.weight.shape[1], dtype=torch.float64)

    def log_px_z(self, z: Tensor) -> Tensor:
        """log p(x|z) of the example: [..., D] -> [...]."""
        squares = (self.centred - z @ self.weight.T).square().sum(-1)
        return -0.5 * (squares / SIGMA**2 + len(self.x) * (LOG_2PI + 2.0 * math.log(SIGMA)))

    def log_pz(self, z: Tensor) -> Tensor:
        """log p(z): [..., D] -> [...]."""
        return -0.5 * (z.square().sum(-1) + z.shape[-1] * LOG_2PI)

    # -------------------------------------------------------------- expectations under q

    @property
    def points(self) -> Tensor:
        """2D points of equal weight with q's mean and covariance: exact for quadratics. [2D, D]."""
        mean = self.diagonal.mu[0, 0]
        steps = (len(mean) * self.variance).sqrt().diag()
        return mean + torch.cat([steps, -steps])

    def expected(self, function: Callable[[Tensor], Tensor]) -> float:
        """E_q of a quadratic function."""
        return float(function(self.points).mean())

    @property
    def expected_log_q(self) -> float:
        """E_q[log q(z|x)], minus the entropy."""
        return -0.5 * float((LOG_2PI + 1.0 + self.variance.log()).sum())

    @property
    def expected_log_px_z(self) -> float:
        """log p(x|z) at the mean, less what the spread of z adds to the squares."""
        spread = float((self.weight.square() @ self.variance).sum()) / SIGMA**2
        return float(self.log_px_z(self.diagonal.mu[0, 0])) - 0.5 * spread

    @property
    def expected_log_pz(self) -> float:
        """log p(z) at the mean, less what the spread of z adds to the squares."""
        return float(self.log_pz(self.diagonal.mu[0, 0])) - 0.5 * float(self.variance.sum())

    @property
    def kl_to_posterior(self) -> float:
        """KL[q(z|x) || p(z|x)]."""
        return float(kl_divergence(self.q, self.conditioned))

    @property
    def kl_to_prior(self) -> float:
        """KL[q(z|x) || N(0, I)]."""
        squares = self.diagonal.mu[0, 0].square() + self.variance
        return 0.5 * float((squares - 1.0 - self.variance.log()).sum())

    def loss(self, objective: str) -> float:
        """What the training loop would minimise, its samples replaced by the exact points."""
        z = self.points[:, None, None]
        x = self.x[None, None]
        terms = Terms(self.diagonal, z, self.model.log_px_z(x, z))
        return float(OBJECTIVES[objective](terms))
