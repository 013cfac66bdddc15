"""Batch normalisation of runs side by side is torch.nn.BatchNorm1d of each."""

import torch
from torch import nn

from vaebench.models.networks.normalised import StackedBatchNorm


def test_each_run_is_normalised_as_by_pytorch_in_training_and_in_evaluation():
    norm, alone = StackedBatchNorm(2, 3).double(), [nn.BatchNorm1d(3).double() for _ in range(2)]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        norm.weight.normal_(generator=generator)
        norm.bias.normal_(generator=generator)
        for run, one in enumerate(alone):
            one.weight.copy_(norm.weight[run, 0])
            one.bias.copy_(norm.bias[run, 0])
    for training in (True, True, False):
        x = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64) * 3.0 + 1.0
        both = norm.train(training)(x)
        apart = torch.stack([one.train(training)(x[run]) for run, one in enumerate(alone)])
        torch.testing.assert_close(both, apart, rtol=1e-12, atol=1e-12)
