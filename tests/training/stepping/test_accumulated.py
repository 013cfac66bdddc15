"""Microbatches: as one minibatch of all their examples, in every way of taking steps."""

import pytest
import torch

from tests.support.graphs import (
    OF_COMPILING,
    Interpreted,
    assert_alike,
    history,
    needs_compiler,
)
from tests.support.networks import dropping, normed, registered  # noqa: F401  # a fixture
from tests.support.runs import run_config
from vaebench import ops
from vaebench.config.build import load_data
from vaebench.core.errors import InputError
from vaebench.models.vae import VAE
from vaebench.running.work import step_work
from vaebench.training.step import loss_of
from vaebench.training.stepping.eager import eager
from vaebench.training.stepping.ways import STEP, _by_device, always

pytestmark = OF_COMPILING
PARTS, BATCH = 4, 4
IN_PARTS = {"batch_size": BATCH, "accumulate": PARTS}
AS_ONE = {"batch_size": BATCH * PARTS}


def stack(settings, *objective, **more):
    more = {"num_steps": 3, "max_grad_norm": 1.0} | more
    return [run_config(*objective, seed=seed, **more, **settings) for seed in (0, 1)]


@pytest.mark.parametrize(
    "objective, more",
    [
        ("elbo", {}),
        ("iwae", {}),
        ("dreg", {"rate_weight": {"name": "linear"}}),
        ("elbo", {"posterior": "gumbel_softmax", "prior": "uniform_categorical"}),
        ("elbo_mc", {"posterior": "planar_flow"}),
        ("elbo_mc", {"prior": "vamp"}),
        (
            "iwae",
            {
                "posterior": "hierarchical",
                "prior": "hierarchical",
                "model": {"layer_dims": [2, 2], "widths": [8]},
            },
        ),
    ],
)
def test_a_step_in_parts_is_that_of_all_their_examples(objective, more):
    """Examples, random numbers and the order of epochs are the same ones: to 9 digits."""
    in_parts, as_one = (history(stack(s, objective, **more), eager) for s in (IN_PARTS, AS_ONE))
    assert_alike(in_parts, as_one, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("num_samples", [1, 3])
def test_layers_draw_other_numbers_in_each_part(registered, num_samples):  # noqa: F811
    """With one sample those of a minibatch of all examples; a graph draws what eager steps do."""
    registered(dropping)
    model = {"name": "dropping", "latent_dim": 2}
    in_parts, as_one = (stack(s, model=model, num_samples=num_samples) for s in (IN_PARTS, AS_ONE))
    eagerly = history(in_parts, eager)
    if num_samples == 1:
        assert_alike(eagerly, history(as_one, eager), rtol=1e-9, atol=1e-10)
    assert_alike(eagerly, history(in_parts, Interpreted), rtol=1e-9, atol=1e-10)


@pytest.mark.slow
@needs_compiler
def test_compiled_steps_take_the_parts_of_eager_ones(registered):  # noqa: F811
    registered(dropping)
    model = {"name": "dropping", "latent_dim": 2}
    configs = stack(IN_PARTS, model=model, num_samples=2, num_steps=7)
    compiled, eagerly = (
        history(configs, way, torch.float32, at_once=3) for way in (always(), eager)
    )
    assert_alike(compiled, eagerly, rtol=2e-4, atol=2e-4)


def test_batch_normalisation_is_of_a_part(registered):  # noqa: F811
    """PyTorch's own loops do so too; it is another function than that of all examples."""
    registered(normed)
    model = {"name": "normed", "latent_dim": 2}
    in_parts, as_one = (history(stack(s, model=model), eager) for s in (IN_PARTS, AS_ONE))
    assert not torch.allclose(in_parts.losses[0], as_one.losses[0], rtol=1e-4)
    counts = [t for name, t in in_parts.tensors.items() if "num_batches" in name]
    assert all((count == 3 * PARTS).all() for count in counts)
    assert counts


def test_on_a_gpu_steps_in_parts_are_eager_and_say_so(monkeypatch):
    (config, _) = stack(IN_PARTS)
    loss = loss_of(config, load_data(config.data))
    on_gpu = torch.empty(0, device="meta")
    monkeypatch.setattr(VAE, "parameters", lambda model: iter([on_gpu]))
    ops.forget_paths()
    model = VAE.__new__(VAE)
    monkeypatch.setattr("vaebench.training.stepping.ways.eager", lambda *arguments: "eager")
    assert _by_device(eager, model, loss, None, 3) == "eager"
    assert "eager: a CUDA graph takes one minibatch" in ops.paths()[STEP]


@pytest.mark.parametrize(
    "objective, likelihood, reason",
    [
        ("beta_tc", "bernoulli", "objective 'beta_tc' compares the examples of a batch"),
        ("factor_vae", "bernoulli", "objective 'factor_vae' compares the examples of a batch"),
        ("geco", "bernoulli", "objective 'geco' keeps a state that a whole batch moves"),
        ("elbo", "gaussian_optimal", "is fitted to a whole batch"),
    ],
)
def test_what_is_no_mean_over_examples_is_refused(objective, likelihood, reason):
    with pytest.raises(InputError, match=f"a mean over examples; .*{reason}"):
        run_config(objective, likelihood, **IN_PARTS)


def test_the_setting_is_part_of_a_run_where_it_does_anything():
    plain, alone, in_parts = run_config(), run_config(accumulate=1), run_config(accumulate=2)
    assert plain.id == alone.id != in_parts.id
    assert plain.stack_key != in_parts.stack_key
    assert "train.accumulate" not in plain.settings
    assert in_parts.settings["train.accumulate"] == "2"
    assert in_parts.evaluations_per_step == 2 * plain.evaluations_per_step


def test_parts_are_as_much_work_as_one_minibatch_in_less_memory():
    """Less is held by far than by one of all examples, and no more than by one part, but for the
    sums of gradients."""
    settings = {"model": {"latent_dim": 2, "widths": [8]}, "num_samples": 8}
    whole, in_parts, part = (
        step_work(run_config(**settings, batch_size=size, accumulate=parts))
        for size, parts in ((256, 1), (32, 8), (32, 1))
    )
    assert in_parts.flops == whole.flops == 8 * part.flops
    assert in_parts.num_bytes < whole.num_bytes / 4
    assert in_parts.num_bytes < 1.2 * part.num_bytes
