"""Modules as source: what is written makes the same module, and what cannot be is refused."""

import pytest
import torch
from torch import nn

from vaebench.core.errors import InputError
from vaebench.running.bundle.source import NAMES, Source, constructor

UPSAMPLED = "nn.Upsample(scale_factor=2.0, mode='bilinear', align_corners=True)"
LAYERS = [
    (nn.Linear(3, 5), "nn.Linear(3, 5)"),
    (nn.Linear(3, 5, bias=False), "nn.Linear(3, 5, bias=False)"),
    (nn.LeakyReLU(0.2), "nn.LeakyReLU(negative_slope=0.2)"),
    (nn.Flatten(), "nn.Flatten()"),
    (nn.Unflatten(1, (4, 2, 2)), "nn.Unflatten(1, (4, 2, 2))"),
    (nn.BatchNorm2d(6, affine=False), "nn.BatchNorm2d(6, affine=False)"),
    (nn.Dropout(0.1), "nn.Dropout(p=0.1)"),
    (nn.Conv2d(3, 4, 3, 2, 1), "nn.Conv2d(3, 4, (3, 3), stride=(2, 2), padding=(1, 1))"),
    (nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), UPSAMPLED),
    (nn.LayerNorm(8), "nn.LayerNorm((8,))"),
    (nn.GELU("tanh"), "nn.GELU(approximate='tanh')"),
]


@pytest.mark.parametrize("layer, call", LAYERS, ids=[call for _, call in LAYERS])
def test_a_layer_is_the_call_that_makes_it(layer, call):
    assert constructor(layer) == call


class Residual(nn.Module):
    """A module of a user's: parts in parts, a parameter, a buffer, a constant and a limit."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.ReLU(), nn.Linear(4, 4)))
        self.scale = nn.Parameter(torch.randn(4))
        self.register_buffer("shift", torch.randn(4))

    def forward(self, x):
        h = nn.functional.gelu(self.net(x)) * self.scale + self.shift
        first, second = h.chunk(2, -1)
        return x + torch.cat([second, first], -1).clamp(-1.0, float("inf")) * torch.arange(4)


def again(module):
    """The module that its source makes, with its tensors."""
    source = Source()
    expression = source.expression(module, "")
    names = dict(NAMES)
    for text in source.classes.values():
        exec(text, names)
    remade = eval(expression, names)
    remade.load_state_dict(source.tensors)
    return remade, source


def test_a_module_of_ones_own_is_written_as_its_operations():
    module = nn.Sequential(Residual(), nn.Sequential(nn.Tanh(), Residual()))
    remade, source = again(module)
    x = torch.randn(5, 4)
    torch.testing.assert_close(remade(x), module(x))
    assert list(source.classes) == ["Residual"]
    trained = {name for name, _ in remade.named_parameters()}
    assert len(trained) == len(list(module.parameters()))
    assert "= None" not in source.classes["Residual"]


def test_classes_of_one_name_and_other_operations_are_told_apart():
    wide = type("Residual", (nn.Module,), {"forward": lambda self, x: 2.0 * x})
    module = nn.Sequential(Residual(), wide())
    remade, source = again(module)
    x = torch.randn(5, 4)
    torch.testing.assert_close(remade(x), module(x))
    assert list(source.classes) == ["Residual", "Residual1"]


class Branching(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


class Foreign(nn.Module):
    def forward(self, x):
        return wrapped(x)


def wrapped(x):
    return 2.0 * x


torch.fx.wrap("wrapped")
WRONG = [
    (Branching(), "Branching cannot be written as plain PyTorch: its operations depend on numbers"),
    (Foreign(), r"it calls \w*wrapped, which is not PyTorch's"),
    (nn.TransformerEncoderLayer(4, 2), "TransformerEncoderLayer cannot be written"),
]


@pytest.mark.parametrize("module, message", WRONG, ids=[type(m).__name__ for m, _ in WRONG])
def test_what_cannot_be_written_is_refused(module, message):
    with pytest.raises(InputError, match=message):
        Source().expression(module, "")
