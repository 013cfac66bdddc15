"""Networks of one run, as a user writes them: initial values, shapes, and what is refused."""

import pytest
import torch
from torch import nn

from tests.support.networks import OF_USERS, convolving, normed, plain
from vaebench.core.errors import InputError
from vaebench.models.networks import Sizes
from vaebench.models.networks.copies import stacked

SIZES = Sizes((8, 8), posterior=6, code=3, outputs_per_pixel=2)
COLOURS = Sizes((4, 6, 3), posterior=6, code=3, outputs_per_pixel=2)
KEYS = (11, 12, 13)


def build(function, sizes=SIZES, keys=KEYS, **hyper):
    return stacked("mine", function, sizes, hyper, keys)


@pytest.mark.parametrize("name", OF_USERS)
def test_a_run_starts_with_the_same_weights_alone_and_in_a_stack(name):
    networks = build(OF_USERS[name])
    for run, key in enumerate(KEYS):
        for both, alone in zip(networks, build(OF_USERS[name], keys=[key]), strict=True):
            for stack, single in zip(both.parameters(), alone.parameters(), strict=True):
                assert torch.equal(stack[run], single[0])
    first = next(networks[0].parameters())
    assert not torch.equal(first[0], first[1])


def test_initial_weights_are_those_of_the_function_at_the_seed_of_the_run():
    encoder, _ = build(plain, keys=[5])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        expected, _ = plain(SIZES)
    assert torch.equal(encoder.network[1].weight[0], expected[1].weight)


def test_the_global_generator_is_left_as_it_was():
    before = torch.get_rng_state()
    build(OF_USERS["dropping"])
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", OF_USERS)
def test_each_run_is_its_own_network(name):
    """In evaluation, against the modules as the function makes them."""
    x, z = torch.rand(len(KEYS), 5, 64), torch.randn(len(KEYS), 5, 3)
    encoder, decoder = build(OF_USERS[name])
    for run, key in enumerate(KEYS):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(key)
            own_encoder, own_decoder = OF_USERS[name](SIZES)
            own_encoder.eval()(x[run].view(5, 1, 8, 8))  # lazy layers get their weights
        own_decoder.eval()
        if not any(isinstance(m, nn.LazyLinear) for m in own_encoder.modules()):
            out = own_encoder(x[run].view(5, 1, 8, 8))
            torch.testing.assert_close(encoder(x)[run], out)
            torch.testing.assert_close(decoder(z)[run], own_decoder(z[run]).flatten(1))


def test_pixels_of_colours_come_channels_first_and_go_back_as_they_are_stored():
    """The encoder's channel c is the stored [..., c]; outputs come n by n, colours last."""
    seen = []

    class Looking(nn.Module):
        def __init__(self, num_outputs):
            super().__init__()
            self.bias = nn.Parameter(torch.zeros(num_outputs))

        def forward(self, x):
            seen.append(x)
            return self.bias.expand(len(x), -1)

    class Numbered(Looking):
        def forward(self, z):
            numbers = torch.arange(float(COLOURS.out)).view(COLOURS.out_shape)
            return numbers.expand(len(z), *COLOURS.out_shape) + 0.0 * self.bias.sum()

    encoder, decoder = build(lambda sizes: (Looking(6), Numbered(1)), COLOURS, [1])
    x = torch.rand(1, 5, COLOURS.pixels)
    seen.clear()
    encoder(x)
    assert torch.equal(seen[-1], x.view(5, 4, 6, 3).permute(0, 3, 1, 2))
    out = decoder(torch.zeros(1, 5, 3))
    of_pixels = out.view(5, 2, 4, 6, 3)
    assert torch.equal(of_pixels[0], torch.arange(144.0).view(2, 3, 4, 6).permute(0, 2, 3, 1))


def test_what_encoder_and_decoder_share_stays_shared():
    def tied(sizes):
        encoder, decoder = nn.Linear(64, 6), nn.Linear(3, 128)
        encoder = nn.Sequential(nn.Flatten(), encoder, nn.Linear(6, 6))
        decoder = nn.Sequential(nn.Linear(3, 6), nn.Linear(6, 6), nn.Linear(6, 128))
        decoder[1].weight = encoder[2].weight
        return encoder, decoder

    encoder, decoder = build(tied)
    assert decoder.network[1].weight is encoder.network[2].weight
    assert encoder.network[2].weight.shape == (3, 6, 6)


def test_what_is_not_to_be_trained_is_kept_as_it_is():
    def frozen(sizes):
        encoder, decoder = plain(sizes)
        encoder[1].weight.requires_grad_(False)
        return encoder, decoder

    encoder, _ = build(frozen)
    assert "network.1.weight" in dict(encoder.named_buffers())
    assert all(p.requires_grad for p in encoder.parameters())
    assert encoder(torch.rand(3, 2, 64)).shape == (3, 2, 6)


def test_the_widest_layer_is_known():
    encoder, _ = build(convolving)
    assert encoder.numbers_per_row == 4 * 4 * 4


def test_networks_that_draw_are_known():
    draws = {name: build(f)[0].draws for name, f in OF_USERS.items()}
    assert {name for name, does in draws.items() if does} == {"dropping", "convolving"}


# ------------------------------------------------------------------ refusals


def with_encoder(change):
    """The plain networks with another encoder."""

    def networks(sizes):
        encoder, decoder = plain(sizes)
        return change(encoder, sizes), decoder

    return networks


class Changed(nn.Module):
    """A network with something done to what it gives."""

    def __init__(self, inner, change):
        super().__init__()
        self.inner, self.change = inner, change

    def forward(self, x):
        return self.change(self.inner(x))


class Beside(nn.Module):
    """A network with a layer that it never calls."""

    def __init__(self, inner, unused):
        super().__init__()
        self.inner, self.unused = inner, unused

    def forward(self, x):
        return self.inner(x)


SHARED = nn.Linear(64, 6)


def raises(x):
    raise ZeroDivisionError("by hand")


REFUSED = {
    "another shape": (
        with_encoder(lambda e, sizes: nn.Sequential(e, nn.Linear(sizes.posterior, 5))),
        r"its encoder must give \[B, 6\] for \[B, 1, 8, 8\]; it gives \[B, 5\]",
    ),
    "no axis of rows": (
        with_encoder(lambda e, _: Changed(e, lambda out: out.sum(0))),
        r"its encoder must give \[B, 6\] .*of 4 rows",
    ),
    "several tensors": (
        with_encoder(lambda e, _: Changed(e, lambda out: out.chunk(2, -1))),
        r"its encoder must give one tensor \[B, 6\]; got tuple",
    ),
    "another dtype": (
        with_encoder(lambda e, _: Changed(e, lambda out: out.double())),
        r"its encoder must give torch.float32 for torch.float32; it gives torch.float64",
    ),
    "parameters of another dtype": (
        with_encoder(
            lambda e, _: nn.Sequential(Changed(nn.Identity(), lambda x: x.double()), e.double())
        ),
        r"its encoder must have parameters of torch.float32; 1.1.weight has torch.float64",
    ),
    "a lazy layer without use": (
        with_encoder(lambda e, _: Beside(e, nn.LazyLinear(3))),
        "its encoder must call every lazy layer; unused.weight has no size yet",
    ),
    "no parameters": (
        lambda sizes: (nn.Flatten(), nn.Linear(3, 128)),
        "its encoder must have parameters to train; it has none",
    ),
    "no networks": (lambda sizes: nn.Linear(64, 6), r"must return two torch.nn.Modules"),
    "a module of the file": (
        lambda sizes: (nn.Sequential(nn.Flatten(), SHARED), nn.Linear(3, 128)),
        "its encoder must be made anew at each call; two runs share 'weight'",
    ),
    "an error in the function": (
        lambda sizes: nn.Linear("a", 2),
        r"must make its networks; it raised TypeError: .*test_copies.py, line \d+\)",
    ),
    "an error in a module": (
        with_encoder(lambda e, _: Changed(e, raises)),
        r"its encoder must take \[B, 1, 8, 8\] and give \[B, 6\]; it raised ZeroDivisionError: "
        r"by hand \(test_copies.py, line",
    ),
    "no flattening": (
        with_encoder(lambda e, _: e[1:]),
        r"its encoder must take \[B, 1, 8, 8\].*mat1 and mat2 shapes cannot be multiplied",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_model_is_refused_with_the_reason(what):
    function, message = REFUSED[what]
    with pytest.raises(InputError, match=f"^model 'mine'.*{message}"):
        build(function)


def test_networks_that_depend_on_the_seed_are_refused():
    def by_chance(sizes):
        return plain(sizes, width=int(torch.randint(3, 1000, ())))

    with pytest.raises(InputError, match="the same layers for every seed; 'weight' has the shapes"):
        build(by_chance)


def test_normed_has_lazy_layers():
    assert build(normed)[0].network[1].weight.shape == (3, 8, 64)
