"""Every objective as a plain function, in the way of someone else's loop, is the native one."""

import pytest
import torch
from torch.distributions import Independent, Normal

import vaebench as vb
from tests.conformance.test_objectives import EACH, K, hyper_of, model_and_data, state_of
from vaebench.models.terms import compute_terms
from vaebench.objectives import OBJECTIVES
from vaebench.objectives.elsewhere import fresh_noise
from vaebench.ops.noise import normals

N = 50
POSTERIORS = {
    "numbers": lambda mu, log_var: (mu, log_var),
    "normal": lambda mu, log_var: Normal(mu, (0.5 * log_var).exp()),
    "independent": lambda mu, log_var: Independent(Normal(mu, (0.5 * log_var).exp()), 1),
}
PRIORS = {
    "numbers": lambda mu: "standard_normal",
    "normal": lambda mu: Normal(0.0, 1.0),
    "independent": lambda mu: Independent(Normal(torch.zeros_like(mu), torch.ones_like(mu)), 1),
}


def noises():
    """The noise that a call draws next, which its prior draws are read from."""
    torch.manual_seed(3)
    noise = fresh_noise()
    torch.manual_seed(3)
    return noise


def native(entry, num_samples):
    """Loss of the suite's own terms, averaged over examples, and the gradients."""
    model, x, _ = model_and_data(entry, num_runs=1)
    terms = compute_terms(model, x, noises(), num_samples=num_samples, num_examples=N)
    loss = entry(terms, **hyper_of(entry), **state_of(entry, terms)).mean()
    return loss, gradients(loss, model)


def plain(entry, num_samples, form, with_axis=True, **more):
    """The same from plain tensors of one run."""
    model, x, _ = model_and_data(entry, num_runs=1)
    mu, log_var = model.encoded(x)[0].chunk(2, -1)
    eps = normals(noises(), num_samples, *mu.shape).to(mu)[:, 0]
    z = mu + (0.5 * log_var).exp() * eps
    z = z if with_axis else z[0]
    log_px_z = model.log_px_z(x, z.view(num_samples, 1, *mu.shape))[:, 0].view(z.shape[:-1])
    if model.auxiliary is not None:
        more["critic"] = Critic(model.auxiliary)
    loss = vb.loss(
        entry.name,
        q=POSTERIORS[form](mu, log_var),
        log_px_z=log_px_z,
        z=z,
        prior=PRIORS[form](mu),
        num_examples=N,
        state={} if entry.state else None,
        **(hyper_of(entry) | more),
    )
    return loss, gradients(loss, model)


class Critic(torch.nn.Module):
    """The suite's network of one run, as a user's without an axis of runs."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, codes):
        return self.network(codes[None])[0, :, 0]


def gradients(loss, model):
    parameters = list(model.parameters())
    return torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)


DRAWING = ("info_vae", "wae_mmd")
"""They draw from the prior: from one of torch's by torch's generator, which the suite has not."""
FORMS = [
    (entry, form)
    for entry in OBJECTIVES.values()
    for form in POSTERIORS
    if form == "numbers" or entry.name not in DRAWING
]


@pytest.mark.parametrize("entry, form", FORMS, ids=lambda value: getattr(value, "name", value))
def test_values_and_gradients_are_the_native_ones(entry, form):
    expected, computed = native(entry, K), plain(entry, K, form)
    torch.testing.assert_close(computed, expected, rtol=1e-6, atol=1e-9)
    assert max(float(g.abs().max()) for g in computed[1]) > 1e-3


@EACH
def test_one_sample_needs_no_axis(entry):
    if entry.min_samples > 1:
        with pytest.raises(vb.InputError, match="needs 2 samples or more; got 1"):
            plain(entry, 1, "numbers", with_axis=False)
        return
    more = {"groups": 1} if entry.name == "miwae" else {}
    expected = native(entry, 1)
    computed = plain(entry, 1, "numbers", with_axis=False, **more)
    torch.testing.assert_close(computed, expected, rtol=1e-6, atol=1e-9)
