"""A run as plain PyTorch: the same outputs to 1e-6, for every network and family that it writes."""

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
from vaebench.running.bundle.distributions import POSTERIORS, PRIORS
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


FAMILIES = [pair for pair in pairs() if pair[0] in POSTERIORS and pair[1] in PRIORS]


@pytest.mark.parametrize("posterior, prior", FAMILIES)
def test_every_family_leaves_as_distributions_of_torch(posterior, prior):
    trained = of(objective=sampled(posterior), posterior=posterior, prior=prior)
    model, x = bundled(trained), trained.dataset.observe("test")[:7]
    q = model.posterior(x)
    z = q.sample()
    log_q = trained.vae.posterior(x[None]).log_prob(z[None, None])[0, 0]
    torch.testing.assert_close(q.log_prob(z), log_q, rtol=1e-5, atol=1e-5)
    assert model.prior().sample((3,)).shape == (3, z.shape[-1])


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
    ({"objective": "elbo_mc", "posterior": "iaf"}, "posterior 'iaf' has no torch.distributions"),
    ({"objective": "elbo_mc", "prior": "hierarchical"}, "prior 'hierarchical' has no torch.dist"),
]


@pytest.mark.parametrize("fields, message", REFUSED, ids=["network", "posterior", "prior"])
def test_what_cannot_leave_is_refused_by_name(registered, fields, message):
    registered(OF_USERS["deciding"])
    with pytest.raises(InputError, match=message):
        written(of(**fields), "a run")


def test_a_wrong_number_is_not_written():
    trained = of()
    page, weights = written(trained, "a run")
    weights["decoder.0.weight"][0, 0] += 1e-4
    with pytest.raises(InputError, match=r"the decoder of 0 cannot be written.*off by"):
        check(page, weights, trained)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run on standardised values, with its bundle, and what the suite gives for some rows."""
    out = tmp_path_factory.mktemp("run")
    rows = np.random.default_rng(0).normal(size=(60, 5)) * 3.0 + 1.0
    np.savez(out / "real.npz", x_train=rows[:40], x_test=rows[40:])
    data = {"name": str(out / "real.npz"), "values": "real", "standardise": True}
    (config,) = resolve([tiny(likelihood="gaussian_learned", data=data)])
    train_all([config], out, "s", executor="inline")
    return out, rows[40:]


def test_the_folder_says_what_its_numbers_mean(folder):
    out, _ = folder
    done = call("export-model", out, "seed=0", "--out", out / "plain")
    assert done.exit_code == 0, done.output
    meanings = json.loads((out / "plain" / "model.json").read_text())
    scaling = vb.load_model(out, "seed=0").dataset.train.images.reading.scaling
    assert meanings["example"]["standardised"]["shift"] == pytest.approx(scaling.shift.tolist())
    assert meanings["likelihood"]["scalars"]["log_sigma"] != -1.0
    assert "one sigma for all pixels" in meanings["likelihood"]["meaning"]
    assert meanings["config"]["likelihood"]["name"] == "gaussian_learned"
    loader = (out / "plain" / "model.py").read_text().partition("class Model")[2]
    assert len(loader.splitlines()) < 25


ELSEWHERE = """
import sys
sys.modules["vaebench"] = None  # so that importing it raises
sys.path.insert(0, sys.argv[1])
import numpy, torch
from model import load
model = load()
x = torch.from_numpy(numpy.load(sys.argv[2]))
mu = model.posterior(x).mean
numpy.savez(sys.argv[3], mu=mu.detach(), out=model.decoder(mu).detach())
assert not [name for name in sys.modules if name.startswith("vaebench.")]
"""


def test_where_there_is_no_vaebench_it_gives_the_same_outputs(folder, tmp_path):
    out, x = folder
    vb.export(out, "seed=0", tmp_path / "plain")
    model = vb.load_model(out, "seed=0")
    np.save(tmp_path / "x.npy", model.observe(x).numpy())
    paths = [str(tmp_path / name) for name in ("plain", "x.npy", "outputs.npz")]
    subprocess.run([sys.executable, "-I", "-c", ELSEWHERE, *paths], check=True)
    mu, _ = model.encode(x)
    with np.load(tmp_path / "outputs.npz") as outputs:
        np.testing.assert_allclose(outputs["mu"], mu, rtol=0, atol=1e-6)
        np.testing.assert_allclose(outputs["out"], model.decode(mu), rtol=0, atol=1e-6)


def test_a_file_of_the_users_is_not_written_over(folder, tmp_path):
    out, _ = folder
    for _ in range(2):  # what an export wrote, it replaces
        vb.export(out, "seed=0", tmp_path)
    (tmp_path / "model.py").write_text("precious = True\n")
    with pytest.raises(InputError, match=r"has a weights\.safetensors of other origin"):
        vb.export(out, "seed=0", tmp_path)
    assert (tmp_path / "model.py").read_text() == "precious = True\n"
