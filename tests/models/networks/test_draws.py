"""What layers draw in training: functions of the noise, with PyTorch's distributions."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vaebench.models.networks.draws import Drawing
from vaebench.ops.noise import Noise

ONES = torch.ones(500, 8, 5, 2)
CALLS = {
    "Dropout": lambda x: nn.Dropout(0.3)(x),
    "in place": lambda x: nn.Dropout(0.3, inplace=True)(x.clone()),
    "functional": lambda x: F.dropout(x, 0.3),
    "torch.dropout": lambda x: torch.dropout(x, 0.3, True),
    "Dropout2d": lambda x: nn.Dropout2d(0.3)(x),
    "Dropout3d": lambda x: nn.Dropout3d(0.3)(x[..., None]),
    "rand_like": torch.rand_like,
    "randn_like": torch.randn_like,
    "bernoulli": lambda x: torch.bernoulli(0.7 * x),
}
MEANS = {"rand_like": (0.5, 12**-0.5), "randn_like": (0.0, 1.0), "bernoulli": (0.7, 0.21**0.5)}
DROPPED = 1.0, (3 / 7) ** 0.5
"""Mean and standard deviation of a one that is kept with probability 0.7, and scaled."""


def drawn(call, noise):
    with Drawing(noise):
        return call(ONES), call(ONES)


@pytest.mark.parametrize("name", CALLS)
def test_a_draw_is_a_function_of_the_noise(name):
    before = torch.get_rng_state()
    first, second = drawn(CALLS[name], Noise((1,)))
    again, _ = drawn(CALLS[name], Noise((1,)))
    assert torch.equal(first, again)
    assert not torch.equal(first, second), "each call draws anew"
    for other in (Noise((2,)), Noise((1,), step=1)):
        assert not torch.equal(drawn(CALLS[name], other)[0], first)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", CALLS)
def test_it_has_the_mean_of_its_distribution(name):
    """Within 4.5 standard errors; of whole channels, of which there are 4,000."""
    mean, deviation = MEANS.get(name, DROPPED)
    num = ONES.numel() / (10 if name in ("Dropout2d", "Dropout3d") else 1)
    out, _ = drawn(CALLS[name], Noise((1,)))
    assert abs(out.mean().item() - mean) < 4.5 * deviation / num**0.5


def test_dropout_keeps_or_scales():
    out, _ = drawn(CALLS["Dropout"], Noise((1,)))
    assert out.unique().tolist() == [0.0, pytest.approx(1 / 0.7)]


def test_whole_channels_are_dropped():
    out, _ = drawn(CALLS["Dropout2d"], Noise((1,)))
    assert (out == out[..., :1, :1]).all()
    assert not (out == out[:, :1]).all()


@pytest.mark.parametrize(("p", "kept"), [(0.0, 1.0), (1.0, 0.0)])
def test_nothing_and_everything_is_dropped(p, kept):
    with Drawing(Noise((1,))):
        assert torch.equal(nn.Dropout(p)(ONES), kept * ONES)


def test_evaluation_drops_nothing():
    with Drawing(Noise((1,))) as drawing:
        assert torch.equal(nn.Dropout(0.3).eval()(ONES), ONES)
    assert drawing.num_draws == 0


def test_an_example_draws_the_same_whatever_follows_it():
    with Drawing(Noise((1,))):
        whole = nn.Dropout(0.3)(ONES)
    with Drawing(Noise((1,))):
        assert torch.equal(nn.Dropout(0.3)(ONES[:3]), whole[:3])
