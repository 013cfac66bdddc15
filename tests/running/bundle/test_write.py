"""A run as plain PyTorch: the same outputs to 1e-6, for every network and family that it writes."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

import vaebench as vb
from tests.support.networks import OF_USERS, registered
from tests.support.runs import pairs, run_config, sampled, small, tiny
from tests.test_cli import call
from vaebench.config.build import build_stack, load_data
from vaebench.config.resolve import resolve
from vaebench.core.errors import InputError
from vaebench.models import MODELS
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.models.posteriors import POSTERIORS
from vaebench.ops.noise import Noise
from vaebench.running.bundle.distributions import MIXED
from vaebench.running.bundle.write import check, written
from vaebench.running.harness import train_all
from vaebench.running.trained import TrainedModel

__all__ = ["registered"]


def of(**fields):
    """An untrained run, as one that was loaded."""
    config = run_config(**fields)
    dataset = load_data(config.data)
    model = build_stack([config], dataset.image_shape, dataset.log_volume)
    return TrainedModel("0", config, model.requires_grad_(False), dataset)


def bundled(trained):
    """The written model in float32, once its outputs were compared with the run's in float64."""
    page, weights = written(trained, "a run")
    check(page, weights, trained)
    names = {"__file__": "model.py"}
    exec(page, names)
    model = names["Model"]().eval()
    model.load_state_dict(weights)
    return model


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_every_likelihood_leaves_with_its_mean(likelihood):
    trained = of(likelihood=likelihood)
    model, z = bundled(trained), torch.randn(7, 2)
    means = trained.vae.mean_image(z[None, None])[0, 0]
    torch.testing.assert_close(model.mean(model.decoder(z)), means, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_every_network_leaves_as_layers_of_torch(name):
    trained = of(model=small(name))
    model, x = bundled(trained), trained.dataset.observe("test")[:7]
    torch.testing.assert_close(
        model.encoder(x), trained.vae.encoded(x[None])[0], rtol=1e-5, atol=1e-6
    )


FAMILIES = [pair for pair in pairs() if pair[1] != "vamp" or pair[0] in MIXED]


@pytest.mark.parametrize("posterior, prior", FAMILIES)
def test_every_family_leaves_as_distributions_of_torch(posterior, prior):
    trained = of(objective=sampled(posterior), posterior=posterior, prior=prior)
    model, x = bundled(trained), trained.dataset.observe("test")[:7]
    q = model.posterior(x)
    z = q.sample()
    if posterior != "planar_flow":  # which has no inverse
        log_q = trained.vae.posterior(x[None]).log_prob(z[None, None])[0, 0]
        torch.testing.assert_close(q.log_prob(z), log_q, rtol=1e-5, atol=1e-5)
    assert q.sample((5,)).shape == (5, *z.shape)
    assert model.prior().sample((3,)).shape == (3, z.shape[-1])


OF_LAYERS = {
    "all seen": {"layer_skip": True},
    "deterministic and normalised": {"layer_features": [6, 5, 4], "norm": "batch"},
    "of the user's": {"layer_model": "normed"},
    "convolutions first": {"name": "conv", "widths": [4], "layer_widths": [[5], []]},
}


def as_trained(trained):
    """Give means and variances of minibatches other values than they start with."""
    generator = torch.Generator().manual_seed(0)
    for name, buffer in trained.vae.named_buffers():
        if "running" in name:
            buffer.uniform_(0.5, 2.0, generator=generator)


@pytest.mark.parametrize("what", OF_LAYERS)
def test_layers_leave_with_all_that_is_between_them(registered, what):
    registered(OF_USERS["normed"])
    model = {"layer_dims": [3, 2, 2], "widths": [8]} | OF_LAYERS[what]
    trained = of(objective="elbo", posterior="ladder", prior="hierarchical", model=model)
    as_trained(trained)
    assert bundled(trained).prior().sample((3,)).shape == (3, 7)


def test_a_normalised_decoder_takes_several_codes_of_each_example():
    """Three axes: torch takes the second for that of the numbers; here both have 8."""
    trained = of(model={"widths": [8], "norm": "batch"})
    as_trained(trained)
    model, z = bundled(trained), torch.randn(3, 8, trained.vae.latent.dim)
    torch.testing.assert_close(model.decoder(z), trained.decode(z), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("posterior", ["hierarchical", "ladder"])
def test_layers_are_drawn_one_given_the_other(posterior):
    """Moments of draws, and of draws here, differ by no more than 5 standard errors."""
    codes = {"posterior": posterior, "prior": "hierarchical"}
    trained = of(objective="elbo_mc", **codes, model={"layer_dims": [2, 1], "widths": [8]})
    with torch.no_grad():
        for parameter in trained.vae.parameters():  # so that a layer says something of the next
            parameter *= 4.0
    x, num = trained.dataset.observe("test")[:1], 4000
    torch.manual_seed(0)
    for there, here in (
        (bundled(trained).posterior(x).sample((num,))[:, 0], trained.draw(x, num)[:, 0]),
        (bundled(trained).prior().sample((num,)), drawn_from_prior(trained, num)),
    ):
        for power in (there, here), (products(there), products(here)):
            error = (sum(z.var(0) for z in power) / num).sqrt()
            assert ((power[0].mean(0) - power[1].mean(0)).abs() < 5 * error).all()


def products(z):
    """The products of each two numbers of a code: [N, D D]."""
    return (z[:, :, None] * z[:, None]).flatten(1)


def drawn_from_prior(trained, num):
    return trained.vae.prior().sample(Noise((1,)), num, trained.vae.latent)[0]


def spectral(sizes):
    """A parametrised layer, whose weight is computed."""
    norm = nn.utils.parametrizations.spectral_norm
    encoder = nn.Sequential(nn.Flatten(), norm(nn.Linear(sizes.pixels, sizes.posterior)))
    return encoder, nn.Linear(sizes.code, sizes.out)


FOLLOWED = [*(f for name, f in OF_USERS.items() if name != "deciding"), spectral]


@pytest.mark.parametrize("function", FOLLOWED)
def test_a_network_of_the_users_leaves_too(registered, function):
    registered(function)
    trained = of(model={"name": function.__name__, "latent_dim": 2})
    assert isinstance(bundled(trained).encoder, nn.Sequential)


REFUSED = [
    ({"model": {"name": "deciding", "latent_dim": 2}}, "Deciding cannot be written as plain PyT"),
    ({"objective": "elbo_mc", "posterior": "mine"}, "posterior 'mine' is not written as plain"),
    ({"objective": "elbo_mc", "posterior": "iaf", "prior": "vamp"}, "'vamp' leaves with .* 'iaf'"),
]


@pytest.mark.parametrize("fields, message", REFUSED, ids=["network", "posterior", "prior"])
def test_what_cannot_leave_is_refused_by_name(registered, monkeypatch, fields, message):
    registered(OF_USERS["deciding"])
    mine = dataclasses.replace(POSTERIORS["diagonal_gaussian"], name="mine")
    monkeypatch.setitem(POSTERIORS._entries, "mine", mine)
    with pytest.raises(InputError, match=message):
        written(of(**fields), "a run")


def test_a_wrong_number_is_not_written():
    trained = of()
    page, weights = written(trained, "a run")
    weights["decoder.0.weight"][0, 0] += 1e-4
    with pytest.raises(InputError, match=r"the decoder of 0 cannot be written.*off by"):
        check(page, weights, trained)


LADDER = {
    "objective": "elbo_mc",
    "posterior": "ladder",
    "prior": "hierarchical",
    "model": {"layer_dims": [2, 2], "layer_features": [5, 4], "widths": [6], "norm": "batch"},
}
ONE_LAYER, LAYERS = "objective=elbo", "objective=elbo_mc"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs on standardised values, of one layer of latents and of two, and some rows of them."""
    out = tmp_path_factory.mktemp("run")
    rows = np.random.default_rng(0).normal(size=(60, 5)) * 3.0 + 1.0
    np.savez(out / "real.npz", x_train=rows[:40], x_test=rows[40:])
    data = {"name": str(out / "real.npz"), "values": "real", "standardise": True}
    fields = {"likelihood": "gaussian_learned", "data": data}
    configs = [tiny(**fields), tiny(**fields, **LADDER)]
    train_all(resolve(configs), out, "s", executor="inline")
    return out, rows[40:]


def test_the_folder_says_what_its_numbers_mean(folder):
    out, _ = folder
    done = call("export-model", out, ONE_LAYER, "--out", out / "plain")
    assert done.exit_code == 0, done.output
    meanings = json.loads((out / "plain" / "model.json").read_text())
    scaling = vb.load_model(out, ONE_LAYER).dataset.train.images.reading.scaling
    assert meanings["example"]["standardised"]["shift"] == pytest.approx(scaling.shift.tolist())
    assert meanings["likelihood"]["scalars"]["log_sigma"] != -1.0
    assert "one sigma for all pixels" in meanings["likelihood"]["meaning"]
    assert meanings["config"]["likelihood"]["name"] == "gaussian_learned"
    loader = (out / "plain" / "model.py").read_text().partition("class Model")[2]
    assert len(loader.splitlines()) < 25


ELSEWHERE = """
import runpy, sys
sys.modules["vaebench"] = None  # so that importing it raises
import numpy, torch
inputs = numpy.load(sys.argv[1])
x = torch.from_numpy(inputs["x"])
outputs = {}
for folder in sys.argv[3:]:
    model = runpy.run_path(folder + "/model.py")["load"](folder)
    z = torch.from_numpy(inputs[folder[-3:]])
    outputs[folder[-3:]] = model.decoder(z).detach()
    outputs["q" + folder[-3:]] = model.posterior(x).log_prob(z).detach()
    outputs["p" + folder[-3:]] = model.prior().log_prob(z).detach()
numpy.savez(sys.argv[2], **outputs)
assert not [name for name in sys.modules if name.startswith("vaebench.")]
"""


def test_where_there_is_no_vaebench_it_gives_the_same_outputs(folder, tmp_path):
    out, x = folder
    models = {name: vb.load_model(out, run) for name, run in (("one", ONE_LAYER), ("two", LAYERS))}
    folders = [str(vb.export(out, model.run, tmp_path / name)) for name, model in models.items()]
    rows = models["one"].observe(x)
    z = {name: model.draw(x)[0] for name, model in models.items()}
    np.savez(tmp_path / "inputs.npz", x=rows, **z)
    paths = [str(tmp_path / name) for name in ("inputs.npz", "outputs.npz")]
    subprocess.run([sys.executable, "-I", "-c", ELSEWHERE, *paths, *folders], check=True)
    with np.load(tmp_path / "outputs.npz") as outputs:
        for name, model in models.items():
            codes = z[name][None, None]
            log_q = model.vae.posterior(rows[None]).log_prob(codes)[0, 0]
            log_p = model.vae.prior().log_prob(codes)[0, 0]
            expected = {name: model.decode(z[name]), f"q{name}": log_q, f"p{name}": log_p}
            for what, values in expected.items():
                np.testing.assert_allclose(outputs[what], values, rtol=1e-6, atol=1e-6)


def test_a_file_of_the_users_is_not_written_over(folder, tmp_path):
    out, _ = folder
    for _ in range(2):  # what an export wrote, it replaces
        vb.export(out, ONE_LAYER, tmp_path)
    (tmp_path / "model.py").write_text("precious = True\n")
    with pytest.raises(InputError, match=r"has a weights\.safetensors of other origin"):
        vb.export(out, ONE_LAYER, tmp_path)
    assert (tmp_path / "model.py").read_text() == "precious = True\n"
