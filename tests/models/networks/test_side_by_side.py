"""Runs that go through their networks at once, one after another, and in parts of a stack."""

import copy

import pytest
import torch
from torch import nn

from tests.support.networks import OF_USERS, plain
from vaebench import ops
from vaebench.models.networks import Sizes
from vaebench.models.networks.copies import stacked
from vaebench.models.networks.side_by_side import outputs
from vaebench.ops.noise import Noise

SIZES = Sizes((8, 8), posterior=6, code=3, outputs_per_pixel=1)
KEYS = tuple(range(1, 6))
STEP = Noise(KEYS)
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def encoder_of(name):
    return stacked(name, OF_USERS[name], SIZES, {}, KEYS)[0]


def trained(network, rows):
    """Outputs of a step, gradients of all parameters and of the rows, and buffers after it."""
    rows = rows.clone().requires_grad_()
    out = network(rows, STEP)
    slopes = torch.autograd.grad(out.square().sum(), [rows, *network.parameters()])
    return [out.detach(), *slopes, *(b.clone() for b in network.buffers())]


@pytest.mark.parametrize("name", ["plain", "normed"])
def test_at_once_is_one_after_another(name):
    network, rows = encoder_of(name), torch.rand(5, 7, 64)
    assert network.at_once
    apart = copy.deepcopy(network)
    apart.at_once = False
    torch.testing.assert_close(trained(network, rows), trained(apart, rows), **CLOSE)
    torch.testing.assert_close(network(rows), apart(rows), **CLOSE)


def test_only_small_minibatches_go_at_once(monkeypatch):
    network, calls = encoder_of("plain"), []
    of_stack = torch.vmap
    monkeypatch.setattr(torch, "vmap", lambda f: calls.append(1) or of_stack(f))
    network(torch.rand(5, 7, 64))
    assert calls == [1]
    network(torch.rand(5, 7000, 64))
    assert calls == [1]


@pytest.mark.parametrize("name", ["dropping", "convolving"])
def test_what_draws_goes_one_after_another(name):
    assert not encoder_of(name).at_once


def test_what_cannot_go_at_once_is_noted():
    ops.forget_paths()
    assert not encoder_of("deciding").at_once
    assert ops.paths()["runs of the encoder"].startswith("one after another: ")
    ops.forget_paths()


def test_what_is_otherwise_at_once_goes_one_after_another():
    """An activation whose output depends on the shape of the whole stack."""

    class Asking(nn.Module):
        def forward(self, x):
            return x * (2.0 if torch._C._functorch.is_batchedtensor(x) else 1.0)

    def asking(sizes):
        encoder, decoder = plain(sizes)
        return encoder.append(Asking()), decoder

    assert not stacked("asking", asking, SIZES, {}, KEYS)[0].at_once


def test_the_tensors_are_in_their_places_after_an_error():
    network = encoder_of("plain")
    before = dict(network.named_parameters())
    with pytest.raises(RuntimeError):
        network(torch.rand(5, 7, 63))
    after = dict(network.named_parameters())
    assert all(after[name] is parameter for name, parameter in before.items())


def test_a_buffer_that_is_replaced_is_kept():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.affine = nn.Linear(64, 6)
            self.register_buffer("count", torch.zeros(()))

        def forward(self, x):
            if self.training:
                self.count = self.count + len(x)
            return self.affine(x.flatten(1))

    encoder, _ = stacked("counting", lambda sizes: (Counting(), nn.Linear(3, 64)), SIZES, {}, KEYS)
    rows = torch.rand(5, 7, 64)
    for step in (STEP, STEP, None):
        outputs(encoder, rows, step)
    assert encoder.network.count.tolist() == [14.0] * 5


def test_a_network_may_work_in_place():
    def in_place(sizes):
        encoder, decoder = plain(sizes)
        encoder.insert(0, nn.ReLU(inplace=True))
        decoder.insert(0, nn.ReLU(inplace=True))
        return encoder, decoder

    for network, size in zip(stacked("own", in_place, SIZES, {}, KEYS), (64, 3), strict=True):
        rows = torch.randn(5, 7, size)
        kept = rows.clone()
        trained(network, rows)
        network(rows)
        assert torch.equal(rows, kept)
