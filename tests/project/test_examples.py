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
    found = {m.metric: m.value for m in grade(read(path, **ONLY)).metrics}
    return load_file(str(path)), load("digits", "threshold").observe("test"), found


def agrees(found, per_image):
    """Whether our ELBO is the mean of theirs, draws [n, N], within 4 standard errors."""
    error = per_image.mean(1).std() / len(per_image) ** 0.5
    assert found["elbo"] == pytest.approx(float(per_image.mean()), abs=4 * float(error) + 1e-3)
    assert found["nll"] < -found["elbo"]


@pytest.mark.filterwarnings("ignore")
def test_a_pyro_model_gets_the_elbo_that_pyro_gives_it():
    pyro = pytest.importorskip("pyro")
    module, x, found = graded("pyro_vae.py")
    torch.manual_seed(1)
    elbo = pyro.infer.Trace_ELBO()
    theirs = torch.tensor([-elbo.loss(module.model, module.guide, x) / len(x) for _ in range(60)])
    agrees(found, theirs[:, None])
    assert found["nll"] < 25  # it is trained: as many nats as random pixels cost is 44


@pytest.mark.filterwarnings("ignore")
def test_a_pythae_model_gets_the_elbo_that_pythae_gives_it():
    pytest.importorskip("pythae")
    module, x, found = graded("pythae_vae.py")
    torch.manual_seed(1)
    with torch.no_grad():
        theirs = torch.stack([-module.model({"data": x}).loss for _ in range(60)])
    agrees(found, theirs[:, None])
    assert found["nll"] < 25
