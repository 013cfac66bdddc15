"""Flow posteriors: Jacobians, inverses, masks, and planar maps that stay invertible."""

import math

import pytest
import torch

from tests.support.families import KEYS, B, S, images, model_of, q_of
from vaebench.models.posteriors import Drawing
from vaebench.models.posteriors.flows import Planar
from vaebench.ops import densities
from vaebench.ops.noise import Noise

K, D = 5, 3
NOISE = Noise(KEYS, step=3)
FLOWS = ("planar_flow", "iaf")


def through(maps, z):
    """The image of z, and the sum of log |det J| that the maps give."""
    total = 0.0
    for step in maps:
        z, log_det = step.forward(z)
        total = total + log_det
    return z, total


def jacobians(function, z):
    """Jacobians at codes [K, S, B, D], by autograd: [K, S, B, D, D], image by code."""
    z = z.detach().requires_grad_()
    image = function(z)
    rows = [torch.autograd.grad(image[..., d].sum(), z, retain_graph=True)[0] for d in range(D)]
    return torch.stack(rows, -2)


@pytest.mark.parametrize("name", FLOWS)
def test_the_drawn_density_is_the_change_of_variables(name):
    """log q(z) = log N(z0) - log |det dz/dz0|, the Jacobian of the whole map by autograd."""
    q = q_of(name, dim=D)
    draw = q.draw(Drawing(NOISE, K, densities))
    z0, _ = densities.reparameterise_kl(q.base.mu, q.base.log_var, NOISE, K)
    image, _ = through(q.maps, z0)
    torch.testing.assert_close(image, draw.z)
    log_det = jacobians(lambda z: through(q.maps, z)[0], z0).slogdet().logabsdet
    law = torch.distributions.Normal(q.base.mu, torch.exp(0.5 * q.base.log_var))
    torch.testing.assert_close(draw.log_qz_x, law.log_prob(z0).sum(-1) - log_det)
    assert float(log_det.abs().mean()) > 0.1  # the maps do something


# ------------------------------------------------------------------ inverse autoregressive


def test_iaf_inverts_itself_and_knows_the_density_of_its_own_samples():
    q = q_of("iaf", dim=D)
    draw = q.draw(Drawing(NOISE, K, densities))
    z0, _ = densities.reparameterise_kl(q.base.mu, q.base.log_var, NOISE, K)
    for step in q.maps:
        image, log_det = step.forward(z0)
        back, log_det_back = step.inverse(image)
        torch.testing.assert_close(back, z0)
        torch.testing.assert_close(log_det_back, log_det)
    torch.testing.assert_close(q.log_prob(draw.z), draw.log_qz_x)


def test_masks_are_autoregressive_up_to_the_reversal_and_hide_nothing_else():
    q = q_of("iaf", dim=D, far=2.0)
    z = 3.0 * torch.randn(200, S, B, D, generator=torch.Generator().manual_seed(0)).double()
    for step in q.maps:
        jacobian = jacobians(lambda z, step=step: step.forward(z)[0], z).flip(-2)
        above = jacobian.triu(1)
        assert torch.equal(above, torch.zeros_like(above))
        assert (jacobian.diagonal(dim1=-2, dim2=-1) > 0).all()
        row, column = torch.tril_indices(D, D, -1)
        assert (jacobian[..., row, column].abs().amax((0, 2)) > 0).all()


@torch.no_grad()
def test_iaf_starts_near_the_identity_and_depends_on_x():
    model = model_of("iaf", "standard_normal", dim=D, far=0.0)
    q = model.posterior(images())
    z0 = torch.randn(K, S, B, D, generator=torch.Generator().manual_seed(0)).double()
    z, _ = through(q.maps, z0)
    assert float((z - z0).square().mean()) < 0.5 * float(z0.square().mean())
    other, _ = through(model.posterior(images().flip(1)).maps, z0)
    assert ((other - z).abs().amax((0, 3)) > 0).all()


# ------------------------------------------------------------------ planar maps


def planar(u, w, b=0.0):
    """One map for one run and example, float32."""
    return Planar(*(torch.tensor(v)[None, None] for v in (u, w, [b])))


ADVERSARIES = {
    "against w": ([-10.0, 0.0, 0.0], [1.0, 0.0, 0.0]),
    "far against w": ([-3e2, 2e2, 1.0], [40.0, -70.0, 3.0]),
    "further": ([-1e4, 7.0, 0.1], [1.7, 1e-3, 0.3]),
    "along w": ([1e3, 1e3, 0.0], [2.0, 1.0, 0.0]),
    "small w": ([-5.0, 3.0, 1.0], [1e-4, 1e-4, 0.0]),
    "smallest w": ([-5.0, 3.0, 1.0], [1e-9, 0.0, 0.0]),
    "no w": ([-5.0, 3.0, 1.0], [0.0, 0.0, 0.0]),
    "nothing": ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
}


@pytest.mark.parametrize("what", ADVERSARIES)
def test_planar_maps_stay_invertible_whatever_the_encoder_gives(what):
    """w'f(z) rises with w'z, which is all that could fold; densities and gradients are finite."""
    u, w = ADVERSARIES[what]
    step = planar(u, w)
    parts = [part.requires_grad_() for part in (step.u, step.w, step.b)]
    along = torch.linspace(-5.0, 5.0, 401)[:, None] * torch.nn.functional.normalize(step.w, dim=-1)
    z = along.detach()[:, None].reshape(401, 1, 1, D)
    image, log_det = step.forward(z)
    assert log_det.isfinite().all()
    (image.sum() + log_det.sum()).backward()
    assert all(part.grad.isfinite().all() for part in parts)
    exact, _ = Planar(*(part.detach().double() for part in parts)).forward(z.double())
    position = (exact * step.w.double()).sum(-1).flatten()
    assert math.hypot(*w) < 1e-6 or (position.diff() > 0).all()


def test_planar_density_is_exact_for_hostile_parameters():
    """The Jacobian by autograd, in float64."""
    generator = torch.Generator().manual_seed(1)
    u, w = (3.0 * torch.randn(S, B, D, generator=generator).double() for _ in range(2))
    step = Planar(u, w, torch.zeros(S, B, 1).double())
    z = torch.randn(K, S, B, D, generator=generator).double()
    sign, log_det = jacobians(lambda z: step.forward(z)[0], z).slogdet()
    assert (sign > 0).all()
    torch.testing.assert_close(step.forward(z)[1], log_det)
    assert ((u * w).sum(-1) < -1).any()
