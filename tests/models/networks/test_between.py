"""The networks between layers of latents: those of any model, a user's own among them."""

import pytest
import torch

from tests.support.networks import OF_USERS, registered
from tests.support.runs import isolated, run_config
from vaebench.config.build import build_stack, streams
from vaebench.core.errors import InputError
from vaebench.models.networks.between import networks_between, sizes_between
from vaebench.models.networks.trial import STEP

__all__ = ["registered"]
LAYERS = {"layer_dims": [4, 3, 2], "widths": [5]}


def layered(objective="elbo_mc", posterior="hierarchical", **more):
    model = LAYERS | more.pop("model", {})
    return run_config(objective, posterior=posterior, prior="hierarchical", model=model, **more)


def test_each_two_layers_have_an_encoder_upwards_and_a_decoder_downwards():
    sizes = sizes_between([4, 3, 2])
    assert [(s.pixels, s.posterior, s.code, s.out) for s in sizes] == [(4, 6, 3, 8), (3, 4, 2, 6)]
    widths, hyper = [[7], [6, 5]], {"activation": "tanh"}
    pairs = networks_between("mlp", sizes, widths, hyper, iter([STEP] * 12))
    (up, down), _ = pairs
    assert up(torch.zeros(2, 1, 4)).shape == (2, 1, 6)
    assert down(torch.zeros(2, 1, 3)).shape == (2, 1, 8)
    assert [len(network) for pair in pairs for network in pair] == [3, 3, 5, 5]
    assert isinstance(up[1], torch.nn.Tanh)


@pytest.mark.parametrize(("skip", "seen"), [(False, 4), (True, 9)])
def test_the_decoder_sees_the_first_layer_or_all(skip, seen):
    config = layered(model={"layer_skip": skip})
    model = build_stack([config], (8, 8))
    z = torch.randn(1, 1, 2, 9, generator=torch.Generator().manual_seed(0), requires_grad=True)
    (slope,) = torch.autograd.grad(model.decode(z).sum(), z)
    assert model.decoder[0].weight.shape[1] == seen
    assert (slope[..., :seen] != 0).any()
    assert (slope[..., seen:] == 0).all()


@pytest.mark.parametrize("posterior", ["hierarchical", "ladder"])
@pytest.mark.parametrize("name", ["plain", "normed", "dropping"])
def test_a_users_networks_between_layers_keep_runs_apart(registered, name, posterior):
    registered(OF_USERS[name])
    configs = [
        layered(posterior=posterior, model={"layer_model": name}, seed=seed, num_samples=2)
        for seed in (0, 1)
    ]
    assert configs[0].plugin
    assert isolated(configs)


def test_layers_that_drop_out_draw_other_numbers_for_each_two_layers(registered):
    registered(OF_USERS["dropping"])
    config = layered(model={"layer_model": "dropping", "layer_dims": [3, 3, 3]})
    model, noise = build_stack([config], (8, 8)), streams([config], "train")
    with torch.no_grad():
        for first, second in zip(model.up[0].parameters(), model.up[1].parameters(), strict=True):
            second.copy_(first)
        z = torch.ones(1, 1, 50, 3)
        pairs = model.prior(noise), model.posterior(torch.zeros(1, 50, 64), noise).upwards
        lower, upper = (law(z).mu for law in pairs[1].of_pairs)
        again = pairs[1].of_pairs[0](z).mu
    assert not torch.equal(lower, upper)
    assert torch.equal(lower, again)


def test_a_users_network_that_does_not_fit_a_layer_is_refused(registered):
    registered(OF_USERS["convolving"])
    with pytest.raises(InputError, match="model 'convolving'"):
        layered(model={"layer_model": "convolving"})
