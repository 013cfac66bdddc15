"""Layers of latents as source: one class draws them one after another, upwards or downwards."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from vaebench.models import VAE
from vaebench.running.bundle.law import Law, Network
from vaebench.running.bundle.one_run import one_run

HELPERS = '''\
class Layers(distributions.Distribution):
    """Layers z_1, ..., z_L side by side, each drawn given the one drawn before.

    `laws`: of each layer, the one drawn first being the first: functions of samples of the layer
    before, that of the first of None.
    """

    has_rsample = True

    def __init__(self, laws: list, dims: list[int], upwards: bool) -> None:
        self.laws, self.dims, self.step = laws, dims, 1 if upwards else -1
        shape = laws[0](None).batch_shape
        super().__init__(shape, torch.Size([sum(dims)]), validate_args=False)

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:
        layers = [self.laws[0](None).rsample(sample_shape)]
        for law in self.laws[1:]:
            layers.append(law(layers[-1]).rsample())
        return torch.cat(layers[:: self.step], -1)

    def log_prob(self, z: Tensor) -> Tensor:
        layers = z.split(self.dims, -1)[:: self.step]
        neighbours = [None, *layers[:-1]]
        each = zip(self.laws, neighbours, layers, strict=True)
        return torch.stack([law(z).log_prob(layer) for law, z, layer in each]).sum(0)


def normal(mu: Tensor, log_var: Tensor) -> distributions.Distribution:
    """N(mu, diag(exp(log_var)))."""
    return distributions.Independent(distributions.Normal(mu, torch.exp(0.5 * log_var)), 1)


def numbers_of(network: nn.Module, z: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log-variance of a layer given samples of its neighbour."""
    numbers = network(z.reshape(-1, z.shape[-1]))
    return numbers.view(*z.shape[:-1], -1).chunk(2, -1)


def conditional(network: nn.Module):
    """The law of a layer as a function of samples of its neighbour."""
    return lambda z: normal(*numbers_of(network, z))


def merged(mu: Tensor, log_var: Tensor, network: nn.Module):
    """The product of N(mu, exp(log_var)) and the law given the layer above: precisions add up."""

    def law(above: Tensor) -> distributions.Distribution:
        prior_mu, prior_log_var = numbers_of(network, above)
        share = torch.sigmoid(prior_log_var - log_var)
        both = -torch.logaddexp(-log_var, -prior_log_var)
        return normal(prior_mu + share * (mu - prior_mu), both)

    return law
'''
UPWARDS = """\
first = numbers.chunk(2, -1)
laws = [lambda _: normal(*first), *map(conditional, network)]
return Layers(laws, {dims}, upwards=True)
"""
DOWNWARDS = """\
mu, log_var = (half.split({dims}, -1) for half in numbers.chunk(2, -1))
each = list(zip(mu[:-1], log_var[:-1], network, strict=True))
laws = [lambda _: normal(mu[-1], log_var[-1]), *(merged(*one) for one in reversed(each))]
return Layers(laws, {dims}, upwards=False)
"""
OF_PRIOR = """\
laws = [lambda _: normal(self.mu, self.log_var), *map(conditional, reversed(self.down))]
return Layers(laws, {dims}, upwards=False)
"""


def bottom_up(model: VAE) -> Law:
    """q(z_1|x), q(z_2|z_1), ..."""
    up = Network("up", "Layer l -> mean and log-variance of layer l + 1.", _list(model.up))
    return Law(_of_dims(UPWARDS, model), helpers=HELPERS, network=up)


def top_down(model: VAE) -> Law:
    """q(z_L|x), q(z_L-1|z_L, x), ..."""
    return Law(_of_dims(DOWNWARDS, model), helpers=HELPERS, network=_down(model))


def of_prior(model: VAE) -> Law:
    """p(z_L), p(z_L-1|z_L), ..."""
    zeros = model.like.new_zeros(model.latent.layers[-1])
    tensors = {"mu": zeros, "log_var": zeros}
    return Law(_of_dims(OF_PRIOR, model), tensors, HELPERS, _down(model))


def _down(model: VAE) -> Network:
    return Network("down", "Layer l + 1 -> mean and log-variance of layer l.", _list(model.down))


def _list(networks: Iterable[nn.Module]) -> nn.ModuleList:
    return nn.ModuleList(map(one_run, networks))


def _of_dims(body: str, model: VAE) -> str:
    return body.format(dims=list(model.latent.layers))
