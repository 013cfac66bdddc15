"""A prior that is a torch.distributions object."""

import pytest
import torch
from torch import distributions as td

from vaebench.core.errors import InputError
from vaebench.models.posteriors import Latent
from vaebench.ops.noise import Noise
from vaebench.running.external.prior import from_torch

Z = torch.tensor([[0.5, -1.0], [2.0, 0.0]])
WIDE = td.MultivariateNormal(torch.zeros(2), 4.0 * torch.eye(2))


@pytest.mark.parametrize("prior", [WIDE, td.Normal(torch.zeros(2), 2.0), td.Normal(0.0, 2.0)])
def test_its_density_is_that_of_the_object_over_a_code(prior):
    bound = from_torch(prior)
    torch.testing.assert_close(bound.log_prob(Z), WIDE.log_prob(Z))
    assert bound.log_prob(torch.full((1, 2), torch.nan)).isnan().all()
    drawn = bound.sample(Noise((3,)), 5, Latent(2))
    assert drawn.shape == (1, 5, 2)
    assert torch.equal(drawn, bound.sample(Noise((3,)), 5, Latent(2)))


def test_a_batch_and_another_width_are_refused():
    with pytest.raises(InputError, match="must be one distribution over z; got a batch"):
        from_torch(td.MultivariateNormal(torch.zeros(3, 2), torch.eye(2)))
    with pytest.raises(InputError, match="must be over the 2 numbers of a code; it is over 3"):
        from_torch(td.Normal(torch.zeros(3), 1.0)).log_prob(Z)
