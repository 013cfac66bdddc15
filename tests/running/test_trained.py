"""A recorded run as a model of plain tensors: what it gives is what its stack gives."""

import numpy as np
import pytest
import torch

import vaebench as vb
from tests.support.networks import plain, registered
from tests.support.runs import run_config, tiny
from vaebench import results
from vaebench.config.build import build_stack, load_data
from vaebench.config.resolve import resolve
from vaebench.core.errors import InputError
from vaebench.evaluation.codes.usage import posterior_mean
from vaebench.models import MODELS
from vaebench.running.harness import train_all
from vaebench.running.trained import TrainedModel, _noise

__all__ = ["registered"]
N, P, D = 40, 6, 2


@pytest.fixture(scope="module")
def arrays():
    """Real values, far from 0 and on scales of their own."""
    rows = np.random.default_rng(0).normal(size=(N, P)) * np.arange(1, P + 1) + 10.0
    return {"x_train": rows[: N - 10], "x_test": rows[N - 10 :]}


@pytest.fixture(scope="module")
def folder(tiny_data, arrays, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained")
    np.savez(out / "real.npz", **arrays)
    only = {"num_samples": 5, "gradings": ["likelihood"]}
    real = {"name": str(out / "real.npz"), "values": "real", "standardise": True}
    configs = [
        *(tiny(tiny_data, seed=seed, evaluate=only) for seed in range(2)),
        tiny(tiny_data, objective="iwae", num_samples=2, evaluate=only),
        tiny(tiny_data, objective="elbo_mc", posterior="planar_flow", seed=7, evaluate=only),
        tiny(likelihood="gaussian_learned", data=real, seed=8, evaluate=only),
        tiny(train={"num_steps": 1, "batch_size": 16}, seed=9, evaluate=only),
    ]
    train_all(resolve(configs), out, "s", executor="inline")
    return out


@pytest.fixture(scope="module")
def x_test(tiny_data):
    with np.load(tiny_data) as stored:
        return stored["x_test"]


@pytest.fixture(scope="module")
def model(folder):
    return vb.load_model(folder, ["objective=elbo", "seed=1"])


def test_a_run_is_named_by_id_beginning_or_conditions(folder, model):
    assert vb.load_model(folder, model.run).run == vb.load_model(folder, model.run[:7]).run
    assert vb.load_model(folder, "objective=elbo seed=1").run == model.run
    assert vb.load_model(str(folder), "objective=iwae").config.num_samples == 2
    assert model.config.seed == 1


def test_its_figures_on_the_test_part_are_those_of_the_record(folder, model, x_test):
    record = results.read(folder, model.run)
    expected = {m.metric: m.value for m in record.metrics}
    graded = model.grade(x_test).set_index("metric")["value"]
    for name in ("nll", "elbo", "rate", "valid_nll"):
        assert graded[name] == pytest.approx(expected[name], rel=1e-5)
    tighter = model.grade(x_test[:5], ["latent", "likelihood"], num_samples=40)
    assert "active_units" in set(tighter["metric"])
    assert tighter.set_index("metric")["protocol"]["nll"].startswith("test, K=40")
    assert not set(tighter["fingerprint"]) & {m.fingerprint for m in record.metrics}


def test_bounds_are_of_each_example(model, x_test):
    bounds = model.bounds(x_test, num_samples=30)
    assert bounds.nll.shape == (len(x_test),)
    torch.testing.assert_close(bounds.elbo, -bounds.rate - bounds.distortion)
    few = model.bounds(x_test[3:5], num_samples=30)
    torch.testing.assert_close(few.rate, bounds.rate[3:5])
    assert float(bounds.nll.mean()) == pytest.approx(float(-bounds.elbo.mean()), rel=0.2)


def test_codes_and_images_are_those_of_the_networks(model, x_test):
    rows = torch.from_numpy(x_test).flatten(1).float()
    mu, log_var = model.encode(x_test)
    torch.testing.assert_close(torch.cat([mu, log_var], -1), model.vae.encoder(rows[None])[0])
    torch.testing.assert_close(model.encode(rows)[0], mu)
    logits = model.decode(mu)
    torch.testing.assert_close(logits, model.vae.decoder(mu[None])[0])
    images = logits.sigmoid().view(-1, *model.image_shape)
    torch.testing.assert_close(model.reconstruct(x_test), images)
    several = mu.expand(3, -1, -1)
    torch.testing.assert_close(model.mean_image(several), images.expand(3, *images.shape))


def test_samples_are_draws_with_the_moments_of_q(model, x_test):
    mu, log_var = model.encode(x_test[:2])
    z = model.draw(x_test[:2], 4000)
    assert z.shape == (4000, 2, D)
    errors = (z.mean(0) - mu) / (log_var.exp() / 4000).sqrt()
    assert float(errors.abs().max()) < 4.0
    torch.testing.assert_close(z.var(0), log_var.exp(), rtol=0.1, atol=0.0)
    assert model.sample(3).shape == (3, *model.image_shape)
    torch.testing.assert_close(model.sample(3), model.sample(5)[:3])
    assert not torch.equal(model.sample(3), model.sample(3, seed=1))
    pixels = model.sample(3000, pixels=True)
    assert set(pixels.unique().tolist()) == {0.0, 1.0}
    assert float((pixels - model.sample(3000)).mean().abs()) < 4 * 0.5 / pixels.numel() ** 0.5


def test_a_traversal_moves_one_number_of_the_first_code(model, x_test):
    values = [-2.0, 0.5]
    images = model.traverse(x_test, values)
    assert images.shape == (D, 2, *model.image_shape)
    code = model.encode(x_test)[0][0].clone()
    code[1] = 0.5
    torch.testing.assert_close(images[1, 1], model.mean_image(code))
    torch.testing.assert_close(model.traverse(x_test[:1], values, [1]), images[1:])


@pytest.fixture(scope="module")
def layered():
    """An untrained ladder of two layers, as one that was loaded."""
    model = {"layer_dims": [3, 2], "widths": [8]}
    codes = {"posterior": "ladder", "prior": "hierarchical"}
    config = run_config("elbo", "bernoulli", **codes, model=model)
    vae = build_stack([config], (8, 8)).requires_grad_(False)
    return TrainedModel("0", config, vae, load_data(config.data))


def test_a_traversal_of_an_upper_layer_moves_those_below(layered):
    x, values = layered.dataset.test.x[:1], [-2.0, 2.0]
    images, means = layered.traverse(x, values), layered.vae.down[0]
    z_2 = layered.vae.prior().followed(torch.zeros(1, 1, 1, 5), 0)[..., 3:]
    assert torch.equal(z_2, torch.zeros(1, 1, 1, 2))  # a lower one moves nothing above
    code = posterior_mean(layered.vae.posterior(layered.observe(x)[None]), _noise(0, "codes"))
    for row, dimension in enumerate((0, 1)):
        above = code[0, 0, 3:].repeat(2, 1)
        above[:, dimension] = torch.tensor(values)
        below = means(above[None])[0, :, :3]
        assert not torch.equal(below[0], below[1])
        expected = layered.mean_image(torch.cat([below, above], -1))
        torch.testing.assert_close(images[3 + row], expected, rtol=1e-5, atol=1e-6)
    assert images[:3].flatten(2).var(1).sum(-1).min() > 0.0  # z_1 moves by itself


def test_layers_have_moments_of_draws_and_can_be_taken_apart(layered):
    x = layered.dataset.test.x[:2]
    with pytest.raises(InputError, match=r"no closed form .*encode\(x, num_samples=1000\)"):
        layered.encode(x)
    mu, log_var = layered.encode(x, num_samples=4000)
    upper = layered.vae.posterior(layered.observe(x)[None]).by_encoder[1]
    errors = (layered.layers(mu)[1] - upper.mu[0]) / (upper.log_var[0].exp() / 4000).sqrt()
    assert float(errors.abs().max()) < 4.0
    torch.testing.assert_close(layered.layers(log_var)[1], upper.log_var[0], rtol=0, atol=0.15)
    assert [part.shape[-1] for part in layered.layers(layered.draw(x))] == [3, 2]
    with pytest.raises(InputError, match="num_samples must be a whole number of at least 2; got 1"):
        layered.encode(x, num_samples=1)
    with pytest.raises(InputError, match=r"codes must be \[\.\.\., 5\]; got \(3, 4\)"):
        layered.layers(torch.zeros(3, 4))


def test_gradients_flow_to_codes_that_ask_for_them(model):
    z = torch.zeros(3, D, requires_grad=True)
    model.mean_image(z).sum().backward()
    assert float(z.grad.abs().min()) > 0
    assert not model.decode(z.detach()).requires_grad


def test_a_flow_has_samples_where_it_has_no_moments(folder, x_test):
    flow = vb.load_model(folder, "seed=7")
    with pytest.raises(InputError, match=r"no closed form for its mean.*draw\(x\) gives"):
        flow.encode(x_test)
    assert flow.draw(x_test, 3).shape == (3, len(x_test), D)
    assert flow.reconstruct(x_test).shape == x_test.shape


def test_real_values_come_back_in_their_own_units(folder, arrays):
    model = vb.load_model(folder, "seed=8")
    scaling = model.dataset.train.images.reading.scaling
    x = arrays["x_test"]
    standard = (torch.from_numpy(x).float() - scaling.shift) / scaling.scale
    torch.testing.assert_close(model.observe(x), standard)
    mu, _ = model.encode(x)
    expected = model.vae.decoder(mu[None])[0] * scaling.scale + scaling.shift
    torch.testing.assert_close(model.reconstruct(x), expected)
    with pytest.raises(InputError, match=r"must have shape \[N, 6\]"):
        model.encode(x[:, :5])
    with pytest.raises(InputError, match="must be finite numbers"):
        model.encode(np.full((2, P), np.nan))


def test_bytes_and_intensities_are_told_apart(folder):
    model = vb.load_model(folder, "seed=9")
    stored = model.dataset.train.images.stored[:4].numpy().reshape(4, 8, 8)
    black_or_white = model.observe(stored)
    assert set(black_or_white.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(model.observe(black_or_white), black_or_white)
    with pytest.raises(InputError, match=r"in \[0, 1\].*got 0 to 255: divide by 255"):
        model.observe(stored.astype(np.float32))


WRONG = [
    ("0123", "no finished run '0123' in .*lists what there is"),
    ("objective=elbo", r"is each of \w+ \(elbo, seed \d\), .*: say which"),
    (["objective=elbo", "seed=5"], "no finished run 'objective=elbo seed=5' in"),
    (3, "a run must be named by its id, .* or conditions, as 'seed=3'; got 3"),
    ([], r"a run must be named by .*; got \[\]"),
    ("objectiv=elbo", "no run has 'objectiv'; did you mean 'objective'"),
]


@pytest.mark.parametrize("run, message", WRONG)
def test_a_run_that_is_not_one_is_refused(folder, run, message):
    with pytest.raises(InputError, match=message):
        vb.load_model(folder, run)


def test_codes_and_dimensions_that_do_not_fit_are_refused(model, x_test):
    with pytest.raises(InputError, match=r"codes must be \[..., 2\]; got \(5, 3\)"):
        model.decode(torch.zeros(5, 3))
    for draws in (lambda: model.draw(x_test, 0), lambda: model.sample(-1)):
        with pytest.raises(InputError, match=r"num(_samples)? must be a whole .* at least 1; got"):
            draws()
    with pytest.raises(InputError, match=r"num_samples must be a whole number .*; got '9'"):
        model.bounds(x_test, num_samples="9")
    with pytest.raises(InputError, match=r"examples must have shape .*16\]; got \(2, 3\)$"):
        model.encode(np.zeros((2, 3)))
    assert model.decode(np.zeros((0, 2))).shape == (0, 16)
    with pytest.raises(InputError, match="dimensions must be from 0 to 1; got 2"):
        model.traverse(x_test, [0.0], [2])
    with pytest.raises(InputError, match=r"needs x in \{0, 1\}; what is given has other values"):
        model.encode(x_test * 0.5)


def test_a_network_of_the_users_must_be_known_again(registered, monkeypatch, tmp_path):
    registered(plain)
    only = {"num_samples": 5, "gradings": ["likelihood"]}
    config = tiny(model={"name": "plain", "latent_dim": 2}, evaluate=only)
    train_all(resolve([config]), tmp_path, "s", executor="inline")
    x = torch.zeros(3, 8, 8)
    assert vb.load_model(tmp_path, "seed=0").reconstruct(x).shape == x.shape
    monkeypatch.delitem(MODELS._entries, "plain")
    with pytest.raises(InputError, match=r"plugins=\['FILE.py'\]: unknown model 'plain'"):
        vb.load_model(tmp_path, "seed=0")


def test_without_weights_it_says_what_to_do(folder, tmp_path):
    (run,) = results.selected(folder, results.conditions(["seed=9"]))["run"]
    path = folder / "weights" / f"{run}.pt"
    path.rename(tmp_path / "put-aside")
    with pytest.raises(InputError, match=r"must hold the run's weights.*run it again"):
        vb.load_model(folder, run)
    (tmp_path / "put-aside").rename(path)


MISTAKES = {
    "values must be a list of numbers": lambda m, x: m.traverse(x, 3.0),
    "values must be numbers": lambda m, x: m.traverse(x, "abc"),
    "values must be finite real numbers": lambda m, x: m.traverse(x, [float("nan")]),
    "dimensions must be a list; got 1": lambda m, x: m.traverse(x, [0.0], 1),
    "a dimension must be a whole number; got 0.5": lambda m, x: m.traverse(x, [0.0], [0.5]),
    "num_samples must be a whole number": lambda m, x: m.draw(x, 1.5),
    "num must be a whole number of at least 1": lambda m, x: m.sample(True),
    "seed must be a whole number; got '3'": lambda m, x: m.sample(1, seed="3"),
    "codes must be numbers": lambda m, x: m.decode([[0.0, 1.0], [0.0]]),
    "codes must be finite real numbers": lambda m, x: m.mean_image(torch.full((2, D), torch.inf)),
    "examples must be one array": lambda m, x: m.bounds([[0.0, 1.0], [0.0]]),
    "gradings must be a list; got 'latent'": lambda m, x: m.grade(x, "latent"),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_arguments_of_other_kinds_are_refused(model, x_test, message):
    with pytest.raises(InputError, match=message):
        MISTAKES[message](model, x_test)
