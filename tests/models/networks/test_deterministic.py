"""The deterministic layers of a ladder: what they compute, alone and in stacks, step by step."""

import pytest
import torch

from tests.support.graphs import Interpreted, assert_alike, history
from tests.support.networks import OF_USERS, registered
from tests.support.runs import isolated, run_config
from vaebench.config.build import build_stack, streams
from vaebench.training.stepping.eager import eager

__all__ = ["registered"]
LAYERS = {"layer_dims": [4, 3, 2], "layer_features": [7, 6, 5], "widths": [8]}


def ladder(objective="elbo", **more):
    model = LAYERS | more.pop("model", {})
    return run_config(objective, posterior="ladder", prior="hierarchical", model=model, **more)


def test_each_layer_has_its_numbers_from_a_deterministic_layer_of_its_own():
    model = build_stack([ladder(model={"norm": "batch"})], (8, 8))
    generator = torch.Generator().manual_seed(0)
    for buffer in model.buffers():  # means and variances as of a trained run
        buffer.uniform_(0.5, 2.0, generator=generator)
    x = torch.rand(1, 5, 64, generator=generator)
    d, means, log_vars = x, [], []
    encoder = model.encoder.eval()
    for network, norm, head in zip(encoder.networks, encoder.norms, encoder.heads, strict=True):
        d = norm(network(d)).clamp_min(0.0)
        mu, log_var = head(d).chunk(2, -1)
        means.append(mu)
        log_vars.append(log_var)
    q = model.posterior(x)
    assert [network[-1].bias.shape[-1] for network in encoder.networks] == [7, 6, 5]
    assert [law.mu.shape[-1] for law in q.by_encoder] == [4, 3, 2]
    for law, mu, log_var in zip(q.by_encoder, means, log_vars, strict=True):
        assert torch.equal(law.mu, mu)
        assert torch.equal(law.log_var, log_var)


def test_all_numbers_of_a_deterministic_layer_are_of_x():
    """None of them are variances, which a linear encoder has the same for every x."""
    linear = {"name": "linear", "layer_model": "linear", "widths": [], "layer_widths": [[], []]}
    networks = build_stack([ladder(model=linear)], (8, 8)).encoder.networks
    assert [network.mu.bias.shape[-1] for network in networks] == [7, 6, 5]


def test_the_upper_layers_of_the_encoder_are_trained_and_belong_to_q():
    model = build_stack([ladder()], (8, 8))
    of_layers = {id(p) for p in model.encoder.parameters()}
    assert of_layers <= {id(p) for p in model.main_parameters()}


@pytest.mark.parametrize("model", [{"norm": "batch"}, {"layer_model": "dropping"}])
def test_runs_are_apart_and_a_traced_step_is_the_eager_one(registered, model):
    registered(OF_USERS["dropping"])
    configs = [ladder("elbo_stl", seed=seed, model=model) for seed in (0, 1)]
    assert isolated(configs)
    if "norm" in model:  # layers that draw take no traced steps
        traced = history(configs, Interpreted)
        assert_alike(history(configs, eager), traced, rtol=1e-10, atol=1e-12)
        moved = [name for name in traced.tensors if name.endswith("running_var")]
        assert all((traced.tensors[name] != 1.0).any() for name in moved)
        assert len(moved) == 9  # two of each of three networks upwards, one of each downwards


def test_layers_that_drop_out_draw_other_numbers_for_each_layer(registered):
    registered(OF_USERS["dropping"])
    config = ladder(model={"layer_model": "dropping", "layer_features": [6, 6, 6]})
    model, noise = build_stack([config], (8, 8)), streams([config], "train")
    rows, layers = [], model.encoder
    for network in layers.networks[1:]:
        network.register_forward_pre_hook(lambda _, arguments: rows.append(arguments[1].first_row))
    layers(torch.rand(1, 5, 64), noise.at(row=3))
    assert len({*rows}) == 2
    assert min(rows) >= 1 << 24


def test_first_and_last_networks_may_be_convolutions_with_flat_layers_between():
    model = {"name": "conv", "widths": [4], "layer_model": "mlp", "layer_widths": [[8], [8]]}
    for posterior, features in (("hierarchical", []), ("ladder", []), ("ladder", [7, 6, 5])):
        sizes = LAYERS | model | {"layer_features": features}
        configs = [
            run_config("elbo_mc", posterior=posterior, prior="hierarchical", model=sizes, seed=seed)
            for seed in (0, 1)
        ]
        assert isolated(configs)
