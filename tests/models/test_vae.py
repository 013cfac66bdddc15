"""The model: its layers, its runs alone and in a stack, and training in bfloat16."""

import itertools

import pytest
import torch

from tests.support.graphs import Interpreted, history
from tests.support.networks import OF_USERS, registered  # noqa: F401  # a fixture
from tests.support.runs import pairs, run_config, sampled, small, steps_of
from vaebench.config.build import build_stack, load_data, streams
from vaebench.evaluation.likelihood.bounds import bounds
from vaebench.models import MODELS, Family, StackedLinear, build, select
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.models.networks.layers import StackedLayer
from vaebench.models.posteriors import Latent
from vaebench.objectives import OBJECTIVES
from vaebench.ops.noise import Noise, key
from vaebench.training.stepping.eager import eager

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


# ------------------------------------------------------------------ training in bfloat16


CLOSE = {"rtol": 0.02, "atol": 0.05}
"""What a loss in nats may be off by: a number of bfloat16 has 8 bits, and is off by up to 0.4 %."""


def configs_of(precision, num_runs=2, **more):
    return [run_config(seed=s, precision=precision, **more) for s in range(num_runs)]


def dtypes_of_layers(module):
    """The dtypes of what the module's layers give from here on: a set that grows."""
    computed = set()

    def look(layer, inputs, output):
        computed.update(t.dtype for t in (output if isinstance(output, list) else [output]))

    for layer in module.modules():
        if isinstance(layer, StackedLayer):
            layer.register_forward_hook(look)
    return computed


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", MODELS)
def test_encoder_and_decoder_multiply_in_the_precision_that_is_set(name, precision):
    """And give float32 to the densities, which are computed in it."""
    model, steps = steps_of(configs_of(precision, model=small(name)))
    computed = [dtypes_of_layers(network) for network in (model.encoder, model.decoder)]
    step = next(steps)
    assert computed == [{getattr(torch, precision)}] * 2
    terms = step.terms
    for figures in (step.loss, terms.mu, terms.log_var, terms.z, terms.log_px_z, terms.kl):
        assert figures.dtype == torch.float32
    assert not torch.is_autocast_enabled("cpu")


def test_the_auxiliary_network_multiplies_in_float32():
    model, steps = steps_of(configs_of("bfloat16", objective="factor_vae"))
    computed = dtypes_of_layers(model.auxiliary)
    next(steps)
    assert computed == {torch.float32}


def test_parameters_gradients_and_moments_are_float32():
    model, steps = steps_of(configs_of("bfloat16"))
    *_, last = itertools.islice(steps, 3)
    moments = last.progress.moments
    for parameter in model.parameters():
        assert parameter.dtype == parameter.grad.dtype == torch.float32
    assert {t.dtype for t in (*moments.first, *moments.second)} == {torch.float32}


@pytest.mark.parametrize("num_runs", [2, 5])
@pytest.mark.parametrize("name", ["plain", "normed", "dropping", "convolving"])
def test_a_users_network_multiplies_in_the_precision_that_is_set(registered, name, num_runs):  # noqa: F811
    """Run after run, at once, alone, and as a graph; its weights and grades are in float32."""
    registered(OF_USERS[name])
    more = {"model": {"name": name, "latent_dim": 2}, "num_samples": 1}
    exact, rounded = (
        history(configs_of(p, num_runs, **more), eager, torch.float32)
        for p in ("float32", "bfloat16")
    )
    assert not torch.allclose(exact.losses, rounded.losses, rtol=1e-6, atol=0.0)
    torch.testing.assert_close(exact.losses, rounded.losses, rtol=0.05, atol=0.05)
    alone = history(configs_of("bfloat16", 1, **more), eager, torch.float32)
    torch.testing.assert_close(alone.losses, rounded.losses[:, :1], **CLOSE)
    graph = history(configs_of("bfloat16", num_runs, **more), Interpreted, torch.float32)
    torch.testing.assert_close(graph.losses, rounded.losses, **CLOSE)
    assert torch.bfloat16 not in {t.dtype for t in rounded.tensors.values()}


@pytest.mark.parametrize("name", MODELS)
def test_evaluation_is_in_float32_whatever_the_training(name):
    """The same weights have the same grades to the last bit."""
    graded = []
    for precision in ("float32", "bfloat16"):
        configs = configs_of(precision, model=small(name))
        dataset = load_data(configs[0].data)
        model = build_stack(configs, dataset.image_shape)
        computed = dtypes_of_layers(model)
        noise = streams(configs, "evaluate")
        graded.append(bounds(model, dataset.observe("valid")[:50], noise, num_samples=5))
        image = model.mean_image(torch.zeros(1, 2, 3, 2))
        assert computed == {torch.float32}
        assert image.dtype == torch.float32
    assert torch.equal(graded[0].elbo, graded[1].elbo)
    assert torch.equal(graded[0].nll, graded[1].nll)


def losses(configs, make_blocks=eager):
    return history(configs, make_blocks, torch.float32).losses


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian_learned", "gaussian_optimal"])
def test_losses_are_those_of_float32_but_for_rounding(likelihood):
    half, full = (
        losses(configs_of(precision, likelihood=likelihood, num_steps=50))
        for precision in ("bfloat16", "float32")
    )
    assert not torch.equal(half, full)
    torch.testing.assert_close(half, full, **CLOSE)


def test_a_stack_in_bfloat16_is_its_runs_alone():
    configs = configs_of("bfloat16", num_runs=3, num_steps=50)
    alone = torch.cat([losses([config]) for config in configs], -1)
    torch.testing.assert_close(losses(configs), alone, **CLOSE)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_takes_a_step_in_bfloat16(objective):
    model, steps = steps_of(configs_of("bfloat16", objective=objective, num_steps=1))
    (step,) = steps
    assert step.loss.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("name", MODELS)
def test_the_traced_step_multiplies_in_bfloat16_too(name):
    configs = configs_of("bfloat16", model=small(name), num_steps=20)
    steps = []

    def make_blocks(*arguments):
        steps.append(Interpreted(*arguments))
        return steps[0]

    traced = losses(configs, make_blocks)
    torch.testing.assert_close(traced, losses(configs), **CLOSE)
    dtypes = {
        node.meta["val"].dtype
        for node in steps[0].trace.graph.graph.nodes
        if node.target in (torch.ops.aten.bmm.default, torch.ops.aten.convolution.default)
    }
    assert dtypes == {torch.bfloat16}
