"""The benchmark of zeros counts what each affine map is given."""

import pytest
import torch

from benchmarks.ops.zeros import shares
from tests.support.runs import tiny
from vaebench.config.build import build_stack, load_data
from vaebench.models.networks.layers import StackedLinear


def test_shares_are_of_what_each_map_is_given():
    config = tiny()
    model = build_stack([config], load_data(config.data).image_shape)
    first = next(module for module in model.modules() if isinstance(module, StackedLinear))
    torch.nn.init.zeros_(first.weight)
    torch.nn.init.zeros_(first.bias)  # so that the ReLU behind it lets nothing through
    x = torch.zeros(1, 4, 64)
    x[..., :16] = 1.0
    by_map = dict(shares(model, x, config))
    assert list(by_map.values())[:3] == pytest.approx([0.25, 0.0, 1.0])
