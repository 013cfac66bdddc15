"""Networks that cannot be trained in stacks, or graded, are refused with the reason."""

import random

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.support.networks import OF_USERS, plain
from vaebench.core.errors import InputError
from vaebench.models.networks import MODELS, Model, Sizes
from vaebench.models.networks.trial import check, facts

SIZES = Sizes((8, 8), posterior=6, code=3, outputs_per_pixel=2)


class Encoder(nn.Module):
    """An affine map with something done around it."""

    def __init__(self, sizes, around):
        super().__init__()
        self.affine, self.around = nn.Linear(sizes.pixels, sizes.posterior), around
        self.unused = nn.Linear(2, 2) if around is unused else None
        self.calls, self.mask = 0, torch.rand(6)

    def forward(self, x):
        return self.around(self, self.affine(x.flatten(1)))


def unused(encoder, out):
    return out


def relative_to_the_batch(encoder, out):
    return out - out.mean(0)


def hardly_relative_to_the_batch(encoder, out):
    return out + 1e-6 * out.mean(0)


def by_the_number_of_rows(encoder, out):
    return out / len(out)


def always_dropping(encoder, out):
    return F.dropout(out, 0.5)


def drawing(encoder, out):
    return out + torch.randn(out.shape)


def counting(encoder, out):
    encoder.calls += 1
    return out * encoder.calls


def masked(encoder, out):
    return out * encoder.mask


def raising(encoder, out):
    if encoder.training:
        raise ValueError("only in training")
    return out


def without_statistics(sizes):
    encoder, decoder = plain(sizes)
    encoder.append(nn.BatchNorm1d(sizes.posterior, track_running_stats=False))
    return encoder, decoder


def by_python(sizes):
    encoder, decoder = plain(sizes)
    with torch.no_grad():
        encoder[1].weight += random.random()
    return encoder, decoder


CALLS = []


def by_the_call(sizes):
    CALLS.append(1)
    encoder, decoder = plain(sizes)
    with torch.no_grad():
        encoder[1].weight += len(CALLS)
    return encoder, decoder


def around(change):
    def networks(sizes):
        return Encoder(sizes, change), plain(sizes)[1]

    return networks


REFUSED = {
    "unused": (
        around(unused),
        "encoder: every parameter has a gradient; unused.weight, unused.bias has none: use it",
    ),
    "relative to the batch": (
        around(relative_to_the_batch),
        r"encoder: an example has in evaluation the same numbers whatever others are .*; .*ELBO",
    ),
    "hardly relative to the batch": (
        around(hardly_relative_to_the_batch),
        r"encoder: an example has in evaluation the same numbers whatever others are .*; .*ELBO",
    ),
    "by the number of rows": (
        around(by_the_number_of_rows),
        r"encoder: an example has in evaluation the same numbers as beside no other; .*ELBO",
    ),
    "batch normalisation without statistics": (
        without_statistics,
        r"others are beside it; .*needs its running statistics \(track_running_stats=True\)",
    ),
    "dropout in evaluation": (
        around(always_dropping),
        r"in evaluation is the same at every call; draw nothing .*F.dropout\(x, p, self.training\)",
    ),
    "the global generator": (
        around(drawing),
        r"in training is a function of seed and step; draw by nn.Dropout",
    ),
    "a count of calls": (around(counting), "is a function of seed and step; .*keep no count"),
    "an attribute that differs": (around(masked), r"a run is what it is alone; .*register_buffer"),
    "an error in training": (
        around(raising),
        r"it can be called in training and in evaluation; it raised ValueError: only in training",
    ),
    "Python's generator": (
        by_python,
        "a seed gives the same initial weights.*; draw them by torch",
    ),
    "a count of networks": (by_the_call, "a seed gives the same initial weights"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_trained_or_graded_is_refused(what):
    function, message = REFUSED[what]
    expected = f"^model 'mine' is refused, as this must hold: .*{message}"
    with pytest.raises(InputError, match=expected):
        check(Model("mine", function), SIZES, (), {})


@pytest.mark.parametrize("name", OF_USERS)
def test_networks_of_many_kinds_pass(name):
    before = torch.get_rng_state()
    check(Model(name, OF_USERS[name]), SIZES, (), {})
    assert torch.equal(torch.get_rng_state(), before)


def test_what_a_layer_keeps_may_decide_what_it_gives_in_training():
    """Spectral normalisation takes a step of its power iteration at each call in training."""

    def bounded(sizes):
        encoder, decoder = plain(sizes)
        nn.utils.parametrizations.spectral_norm(decoder[0])
        return encoder, decoder

    check(Model("mine", bounded), SIZES, (), {})


@pytest.mark.parametrize(("name", "widths"), [("mlp", (4,)), ("linear", ()), ("conv", (4, 3))])
def test_those_of_the_package_pass(name, widths):
    checked = facts(MODELS[name], SIZES, widths, {})
    assert len(checked) == 14
    assert all(fact.holds for fact in checked)
