"""The worked examples of models from elsewhere, where their libraries are installed."""

import pytest
import torch

from tests.support import ROOT
from vaebench.core.sources import load_file
from vaebench.data import load
from vaebench.running.external import grade, read

EXAMPLES = ROOT / "examples"
ONLY = {"num_samples": 200, "gradings": ["likelihood"]}


def graded(name):
    """The module that an example is, the test images, and the figures that it gets."""
    path = EXAMPLES / name
    computed = {m.metric: m.value for m in grade(read(path, **ONLY)).metrics}
    return load_file(str(path)), load("digits", "threshold").observe("test"), computed


def agrees(computed, per_image):
    """Whether our ELBO is the mean of theirs, draws [n, N], within 4 standard errors."""
    error = per_image.mean(1).std() / len(per_image) ** 0.5
    assert computed["elbo"] == pytest.approx(float(per_image.mean()), abs=4 * float(error) + 1e-3)
    assert computed["nll"] < -computed["elbo"]


@pytest.mark.filterwarnings("ignore")
def test_a_pyro_model_gets_the_elbo_that_pyro_gives_it():
    pyro = pytest.importorskip("pyro")
    module, x, computed = graded("pyro_vae.py")
    torch.manual_seed(1)
    elbo = pyro.infer.Trace_ELBO()
    theirs = torch.tensor([-elbo.loss(module.model, module.guide, x) / len(x) for _ in range(60)])
    agrees(computed, theirs[:, None])
    assert computed["nll"] < 25  # it is trained: as many nats as random pixels cost is 44


@pytest.mark.filterwarnings("ignore")
def test_a_pythae_model_gets_the_elbo_that_pythae_gives_it():
    pytest.importorskip("pythae")
    module, x, computed = graded("pythae_vae.py")
    torch.manual_seed(1)
    with torch.no_grad():
        theirs = torch.stack([-module.model({"data": x}).loss for _ in range(60)])
    agrees(computed, theirs[:, None])
    assert computed["nll"] < 25
