"""A model whose likelihood is known, and four of its images."""

import pytest
import torch

from vaebench.diagnostics.certify import linear_gaussian
from vaebench.diagnostics.certify.exact.linear_gaussian import examples, far_examples


@pytest.fixture(scope="module")
def model():
    """The linear-Gaussian VAE, whose posterior is exact."""
    return linear_gaussian(wrong=0.0)


@pytest.fixture(scope="module")
def x():
    """Images [4, P]: three near the mean of the data, and the first of the far ones."""
    return torch.cat([examples()[:3], 0.4 * far_examples()[:1]])
