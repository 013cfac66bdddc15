"""Posteriors: right ones pass, and each wrong one is told by its fact."""

from dataclasses import replace
from typing import Annotated

import pytest
import torch

from tests.support.faults import failed_facts, failing
from vaebench.core.hyper import Hyper
from vaebench.models.posteriors import POSTERIORS
from vaebench.models.posteriors.categorical import Categorical
from vaebench.models.posteriors.flows import Autoregressive, Flow, Planar
from vaebench.models.posteriors.gaussian import DiagonalGaussian
from vaebench.ops import densities


@pytest.mark.parametrize("name", POSTERIORS)
def test_every_registered_posterior_is_what_it_declares(name):
    assert failing(POSTERIORS[name]) == set()


class WithoutConstant(DiagonalGaussian):
    def log_prob(self, z):
        return super().log_prob(z) + 0.5 * densities.LOG_2PI


class CutOff(DiagonalGaussian):
    """Right wherever its draws are."""

    def log_prob(self, z):
        return super().log_prob(z).clamp(min=-50.0)


class Stuck(DiagonalGaussian):
    """The same noise for every sample."""

    def draw(self, drawing):
        made = super().draw(replace(drawing, num_samples=1))
        return made._replace(z=made.z.expand(drawing.num_samples, -1, -1, -1))


class OverRuns(DiagonalGaussian):
    def draw(self, drawing):
        mu = self.mu.mean(0, keepdim=True).expand_as(self.mu)
        return DiagonalGaussian(mu, self.log_var).draw(drawing)


class HalfKL(DiagonalGaussian):
    def draw(self, drawing):
        made = super().draw(drawing)
        return made._replace(kl_to_standard_normal=0.5 * made.kl_to_standard_normal)


class NeverStopped(DiagonalGaussian):
    def stopped(self):
        return self


class StoppedElsewhere(DiagonalGaussian):
    def stopped(self):
        return DiagonalGaussian(self.mu.detach(), 0.9 * self.log_var.detach())


class Deviation(DiagonalGaussian):
    """Draws with exp(log_var) as the standard deviation."""

    def draw(self, drawing):
        return DiagonalGaussian(self.mu, 2.0 * self.log_var).draw(drawing)


class NoGradient(DiagonalGaussian):
    def draw(self, drawing):
        return DiagonalGaussian(self.mu, self.log_var.detach()).draw(drawing)


class OffMean(DiagonalGaussian):
    @property
    def mean(self):
        return torch.tanh(self.mu)


class WrongDeterminant(Planar):
    def forward(self, z):
        image, log_det = super().forward(z)
        return image, -log_det


class NotInvertible(Planar):
    """u as it comes, with w'u anywhere."""

    def forward(self, z):
        h = torch.tanh((self.w * z).sum(-1, keepdim=True) + self.b)
        slope = (1.0 - h.square()) * (self.w * self.u).sum(-1, keepdim=True)
        return z + self.u * h, torch.log1p(slope)[..., 0]


class WrongInverse(Autoregressive):
    def inverse(self, z):
        computed, log_det = super().inverse(z)
        return computed + 0.01, log_det


class Unnormalised(Categorical):
    def log_prob(self, z):
        return super().log_prob(z) + 0.1


class Greedy(Categorical):
    """The most likely value every time."""

    def draw(self, drawing):
        return Categorical(3.0 * self.log_probs, self.temperature, False).draw(drawing)


class OneTemperature(Categorical):
    def draw(self, drawing):
        return Categorical(self.log_probs, 0.5, False).draw(drawing)


def gaussian_of(kind):
    def make(numbers, latent, network):
        return kind(*numbers.chunk(2, -1))

    return replace(POSTERIORS["diagonal_gaussian"], distribution=make)


def flow_of(name, kind):
    def make(numbers, latent, network):
        flow = POSTERIORS[name].distribution(numbers, latent, network)
        return Flow(flow.base, tuple(kind(*vars(step).values()) for step in flow.maps))

    return replace(POSTERIORS[name], distribution=make)


def categorical_of(kind):
    def make(numbers, latent, network, *, temperature: Annotated[float, Hyper((0.2, 2.0))] = 0.5):
        q = POSTERIORS["categorical"].distribution(numbers, latent, network)
        return kind(q.log_probs, temperature, False)

    return replace(POSTERIORS["categorical"], distribution=make)


WRONG_POSTERIORS = [
    (gaussian_of(WithoutConstant), "its density is that of its draws, in 1 dimension"),
    (gaussian_of(CutOff), "integrates to 1, in 1 dimension"),
    (gaussian_of(Stuck), "samples, runs and examples draw different codes"),
    (gaussian_of(OverRuns), "its draws are blind to stack-mates"),
    (gaussian_of(HalfKL), "the KL that a draw comes with is E_q[log q - log p], in 1 dimension"),
    (gaussian_of(NeverStopped), "stopped parameters have no gradient"),
    (gaussian_of(StoppedElsewhere), "with stopped parameters the same density"),
    (gaussian_of(Deviation), "its density is that of its draws, in 3 dimensions"),
    (gaussian_of(NoGradient), "draws have a gradient in all that the encoder gives"),
    (gaussian_of(OffMean), "its mean is that of its draws, in 1 dimension"),
    (
        flow_of("planar_flow", WrongDeterminant),
        "log |det J| of map 1 is that of its Jacobian, from numbers of size 0.7",
    ),
    (flow_of("planar_flow", WrongDeterminant), "its density is that of its draws, in 3 dimensions"),
    (
        flow_of("planar_flow", NotInvertible),
        "log |det J| of map 1 is that of its Jacobian, from numbers of size 4",
    ),
    (flow_of("iaf", WrongInverse), "the inverse of map 1 leads back, from numbers of size 0.7"),
    (
        flow_of("iaf", WrongInverse),
        "the density of a given code is that of a draw, in 3 dimensions",
    ),
    (categorical_of(Unnormalised), "sums to 1, in 1 dimension"),
    (categorical_of(Greedy), "draws each code as often as it says, in 1 dimension"),
    (
        categorical_of(OneTemperature),
        "temperature changes the draws of training or their gradient",
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize(("wrong", "fact"), WRONG_POSTERIORS)
def test_a_wrong_posterior_is_told_by_its_fact(wrong, fact):
    assert fact in failed_facts(wrong)
