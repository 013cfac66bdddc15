"""The evaluation: exact where the answer is known, and the same whatever the chunks."""

import math

import pytest
import torch
from conftest import tiny

from vaebench.config.build import build_stack, streams
from vaebench.data import load
from vaebench.diagnostics.certify.exact.linear_gaussian import exact_log_px
from vaebench.evaluation import Subject, evaluate
from vaebench.evaluation.codes.usage import active_units
from vaebench.evaluation.images import grid_png
from vaebench.evaluation.likelihood.bounds import bounds
from vaebench.models import select
from vaebench.ops.noise import Noise, normals

N = 23


@pytest.fixture
def x(true_posterior):
    return normals(Noise((3,)), 1, N, true_posterior.decoder.weight.shape[-1])[0, 0].double()


def test_all_bounds_are_exact_at_the_true_posterior(true_posterior, x):
    found = bounds(true_posterior, x, Noise((1,)), num_samples=7)
    torch.testing.assert_close(-found.nll[0], exact_log_px(true_posterior, x))
    torch.testing.assert_close(found.elbo, -found.distortion - found.rate)


def test_bounds_order_at_a_wrong_posterior(wrong_posterior, x):
    one = bounds(wrong_posterior, x, Noise((1,)), num_samples=1)
    many = bounds(wrong_posterior, x, Noise((1,)), num_samples=2000)
    exact = exact_log_px(wrong_posterior, x).mean()
    assert float(many.elbo.mean()) < float(-many.nll.mean()) < float(exact) + 0.02
    assert float(exact + many.nll.mean()) < 0.1
    assert float(one.nll.mean()) > float(many.nll.mean())


def test_evaluation_of_a_stack_is_that_of_each_run():
    configs = [tiny(seed=i) for i in range(3)]
    dataset = load("digits", "dynamic")
    model, noise = build_stack(configs, (8, 8)), streams(configs, "evaluate")
    stacked = evaluate(Subject(model, dataset, noise, num_samples=5, num_images=40))
    for i in range(3):
        alone = evaluate(
            Subject(
                select(model, [i]),
                dataset,
                Noise(noise.keys[i : i + 1]),
                num_samples=5,
                num_images=40,
            )
        )
        for name, values in stacked.values.items():
            assert values[i] == pytest.approx(alone.values[name][0], rel=1e-4), name


def test_every_variant_is_graded_with_rate_weight_one_on_its_own_samples():
    """The evaluation has no access to the objective: nll >= -elbo up to K, bits/dim follows."""
    configs = [tiny(objective={"name": "beta_elbo", "beta": 8.0})]
    dataset = load("digits", "dynamic")
    found = evaluate(
        Subject(
            build_stack(configs, (8, 8)),
            dataset,
            streams(configs, "e"),
            num_samples=9,
            num_images=40,
        )
    ).values
    assert found["elbo"][0] == pytest.approx(-found["rate"][0] - found["distortion"][0], abs=1e-3)
    assert found["nll"][0] <= -found["elbo"][0] + 0.05
    assert found["bits_per_dim"][0] == pytest.approx(found["nll"][0] / (64 * math.log(2)))


def test_bits_per_dim_only_for_a_probability_mass():
    configs = [tiny(likelihood="gaussian_learned", data={"name": "digits"})]
    dataset = load("digits", "none")
    found = evaluate(
        Subject(
            build_stack(configs, (8, 8)),
            dataset,
            streams(configs, "e"),
            num_samples=2,
            num_images=40,
        )
    )
    assert "bits_per_dim" not in found.values


def test_active_units_counts_dimensions_whose_mean_moves():
    mu = torch.randn(2, 500, 4, generator=torch.Generator().manual_seed(0))
    scale = torch.tensor([[1.0, 0.5, 0.05, 0.0], [1.0, 1.0, 1.0, 0.2]])
    assert active_units(mu * scale[:, None]).tolist() == [2, 4]


@pytest.mark.parametrize(
    ("shape", "mode"), [((4, 3), "L"), ((4, 3, 1), "L"), ((2, 2, 3), "RGB"), ((12,), "L")]
)
def test_grid_is_a_png_of_every_image_shape(shape, mode):
    import io

    from PIL import Image

    pixels = 1
    for side in shape:
        pixels *= side
    picture = Image.open(io.BytesIO(grid_png(torch.rand(9, pixels) * 3 - 1, shape)))
    assert picture.mode == mode
    assert max(picture.size) >= 512
