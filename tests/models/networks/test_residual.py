"""The residual network: sizes, identity at the start, and what it refuses."""

import pytest
import torch

from vaebench.core.errors import InputError
from vaebench.models.networks import MODELS, Sizes
from vaebench.models.networks.residual import Block
from vaebench.ops.noise import Noise


def built(image_shape, **hyper):
    sizes = Sizes(image_shape, posterior=6, code=3, outputs_per_pixel=2)
    return sizes, MODELS["resnet"].build(sizes, (), hyper, iter([Noise((1, 2))]))


@pytest.mark.parametrize(
    ("image_shape", "smallest"),
    [((32, 32, 3), 4), ((64, 64, 3), 4), ((28, 28), 7), ((8, 8), 4), ((16, 40), 4)],
)
def test_images_are_halved_to_the_smallest_size(image_shape, smallest):
    sizes, (encoder, decoder) = built(image_shape, channels=2, blocks=2, norm=True)
    x, z = torch.rand(2, 3, sizes.pixels), torch.randn(2, 3, 3)
    assert encoder(x).shape == (2, 3, 6)
    assert decoder(z).shape == (2, 3, sizes.out)
    assert min(decoder.network[1].unflattened_size[1:]) == smallest


def test_a_block_starts_as_the_identity():
    x = torch.randn(2, 4, 6, 6)
    for norm in (False, True):
        assert torch.equal(Block(4, norm)(x), x)


def test_channels_double_with_each_halving():
    _, (encoder, _) = built((32, 32, 3), channels=4)
    convolutions = [m for m in encoder.network if isinstance(m, torch.nn.Conv2d)]
    assert [c.out_channels for c in convolutions] == [4, 8, 16]


@pytest.mark.parametrize("image_shape", [(7, 8), (4, 4), (3, 32, 32), (16,)])
def test_what_is_no_even_image_is_refused(image_shape):
    with pytest.raises(InputError, match=r"'resnet' is refused: it needs images .*choose model"):
        built(image_shape)
