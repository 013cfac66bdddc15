"""A prior from the user's own file: registered, checked, trained, with scalars of each run."""

import hashlib

import pytest

import vaebench as vb
from tests.support.runs import run_config
from vaebench import results
from vaebench.config import parse
from vaebench.config.compatibility import refusal
from vaebench.core import plugins
from vaebench.core.errors import InputError
from vaebench.core.sources import surroundings
from vaebench.models.priors import PRIORS

PLUGIN = '''
import math
from typing import Annotated

import vaebench as vb


def sample(noise, num_rows, latent, *, spread):
    return vb.with_axis(spread) * vb.normals(noise, 1, num_rows, latent.dim)[0]


@vb.prior(source="this test", sample=sample)
def wide_normal(z, *, spread: Annotated[vb.Scalar, vb.Hyper((0.5, 5.0), low=0.1)] = 1.0):
    """N(0, spread^2 I)."""
    variance = vb.with_axis(spread) ** 2 + 0.0 * z
    return (-0.5 * (z**2 / variance + variance.log() + math.log(2 * math.pi))).sum(-1)
'''

STUDY = """
name = "s"
[base]
objective = "elbo_mc"
likelihood = "bernoulli"
data = { binarisation = "dynamic" }
model = { latent_dim = 2, widths = [8] }
train = { num_steps = 60, batch_size = 16, learning_rate = 1e-2 }
evaluate = { num_samples = 5, num_images = 40 }
[axes]
prior = [{ name = "wide_normal", spread = 0.5 }, { name = "wide_normal", spread = 4.0 }]
"""


@pytest.fixture
def plugin(tmp_path):
    """The plugin file, whose registration is taken back after the test."""
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)
    yield str(path)
    PRIORS._entries.pop("wide_normal", None)
    surroundings._known.clear()
    refusal.cache_clear()


def figures(frame):
    """{(prior, metric): value} of the rows that have one; the prior is in the variant's name."""
    rows = frame[frame["metric"].isin(["nll", "elbo", "rate"])]
    return {(row.variant, row.metric): row.value for row in rows.itertuples()}


def test_a_prior_from_outside_trains_in_one_stack_with_a_scalar_for_each_run(tmp_path, plugin):
    study = tmp_path / "s.toml"
    study.write_text(STUDY)
    inline = {"plugins": [plugin], "executor": "inline", "timings": False}
    computed = figures(vb.run(study, tmp_path / "out", **inline))
    records = list(results.records(tmp_path / "out"))
    configs = [parse(record.config) for record in records]
    assert [record.status for record in records] == ["done", "done"]
    assert len({config.stack_key for config in configs}) == 1
    assert len({config.id for config in configs}) == 2
    assert {c.plugin for c in configs} == {hashlib.sha256(PLUGIN.encode()).hexdigest()[:12]}

    alone = {}
    for i, config in enumerate(configs):
        frame = vb.run([config], tmp_path / str(i), **inline)
        alone |= figures(frame)
    assert alone == pytest.approx(computed, rel=1e-4)
    narrow, wide = (computed[f"elbo_mc, wide_normal(spread={s})", "nll"] for s in ("0.5", "4"))
    assert abs(narrow - wide) > 0.05


def test_an_objective_of_the_closed_form_refuses_a_prior_that_has_none(plugin):
    plugins.load_plugins([plugin])
    with pytest.raises(InputError, match=r"prior 'wide_normal': choose elbo_mc"):
        run_config("elbo", prior="wide_normal")


def test_one_file_for_a_list_is_named():
    with pytest.raises(InputError, match=r"plugins must be a list; .*: write \['mine.py'\]"):
        plugins.load_plugins("mine.py")
