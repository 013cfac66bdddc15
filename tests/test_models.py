import pytest
import torch
from runs import pairs, run_config, sampled, steps_of

from vaebench.models import Family, StackedLinear, build, select
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.models.posteriors import Latent
from vaebench.ops.noise import Noise, key

KEYS = tuple(key(seed, "models") for seed in range(3))
K, S, B, D, P = 4, 3, 5, 2, 7


def vae(keys, name="mlp", widths=(6,)):
    return build(
        name,
        Family(LIKELIHOODS["gaussian_learned"], latent=Latent(D)),
        image_shape=(P,),
        widths=widths,
        noise=Noise(keys),
    )


def test_stacked_linear_is_one_linear_map_per_run():
    layer, x = StackedLinear(P, D, Noise(KEYS)), torch.randn(S, B, P)
    for run in range(S):
        expected = x[run] @ layer.weight[run] + layer.bias[run]
        torch.testing.assert_close(layer(x)[run], expected)


def test_layers_start_uniform_within_one_over_root_fan_in():
    layer = StackedLinear(64, 400, Noise(KEYS))
    scaled = torch.cat([layer.weight.flatten(), layer.bias.flatten()]).detach() * 64**0.5
    assert float(scaled.abs().max()) <= 1.0
    # u^2 has mean 1/3 and variance 4/45 for u uniform in [-1, 1].
    error = (4 / 45 / scaled.numel()) ** 0.5
    assert abs(float(scaled.square().mean()) - 1 / 3) < 4.5 * error


def test_a_run_starts_the_same_alone_and_in_a_stack():
    stacked, alone = vae(KEYS), vae(KEYS[1:2])
    for a, b in zip(stacked.parameters(), alone.parameters(), strict=True):
        assert torch.equal(a[1:2], b)


def test_decode_sends_every_sample_through_its_own_run():
    model, z = vae(KEYS), torch.randn(K, S, B, D)
    out = model.decode(z)
    assert out.shape == (K, S, B, P)
    for run in range(S):
        alone = select(model, [run]).decode(z[:, run : run + 1])
        torch.testing.assert_close(out[:, run : run + 1], alone)


def test_select_copies_runs_with_their_learned_parameters():
    model = vae(KEYS)
    model.learned["log_sigma"].data.copy_(torch.tensor([[0.0], [1.0], [2.0]]))
    chosen = select(model, [2, 0])
    assert chosen.num_runs == 2
    assert chosen.learned["log_sigma"].flatten().tolist() == [2.0, 0.0]
    chosen.learned["log_sigma"].data.zero_()
    assert model.learned["log_sigma"].flatten().tolist() == [0.0, 1.0, 2.0]


def test_linear_model_is_affine_with_one_log_var():
    model = vae(KEYS, "linear", ())
    x = torch.randn(S, B, P)
    with torch.no_grad():
        model.encoder.rest.copy_(torch.arange(S * D).view(S, 1, D))
    q, doubled, zero = (model.posterior(scale * x) for scale in (1, 2, 0))
    torch.testing.assert_close(doubled.mu - zero.mu, 2 * (q.mu - zero.mu))
    assert torch.equal(q.log_var, model.encoder.rest.expand(S, B, D))


@pytest.mark.parametrize(("posterior", "prior"), pairs())
def test_a_linear_encoder_trains_all_that_a_posterior_has(posterior, prior):
    """A planar map of zeros alone would stay where it is: nearly every number has to move."""
    linear_model = {"name": "linear", "latent_dim": 2, "widths": [], "num_classes": 3}
    codes = {"posterior": posterior, "prior": prior}
    model, steps = steps_of([run_config(sampled(posterior), model=linear_model, **codes)])
    before = [parameter.detach().clone() for parameter in model.encoder.parameters()]
    assert len(list(steps)) > 1
    for old, new in zip(before, model.encoder.parameters(), strict=True):
        moved = (new - old).detach() != 0
        assert float(moved.double().mean()) > 0.5 or not old.numel()
