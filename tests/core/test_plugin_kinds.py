"""Posteriors, schedules and models from the user's own file: registered, trained, fingerprinted."""

import pytest

import vaebench as vb
from tests.support.runs import run_config
from vaebench import results
from vaebench.config import functions_of, parse
from vaebench.config.compatibility import refusal
from vaebench.config.schedules import SCHEDULES
from vaebench.core.hyper import source_fingerprint
from vaebench.core.plugins import load_plugins
from vaebench.core.sources import surroundings
from vaebench.models.networks import MODELS
from vaebench.models.posteriors import POSTERIORS

FILES = {
    "posterior": """
import vaebench as vb
from vaebench.models.posteriors.gaussian import DiagonalGaussian


@vb.posterior(source="this test", num_inputs=lambda latent: latent.dim)
def unit_variance(numbers, latent, network):
    return DiagonalGaussian(numbers, 0.0 * numbers)
""",
    "rate_weight": """
import vaebench as vb


@vb.schedule(source="this test")
def quadratic(progress, *, stop: float = 1.0):
    return stop * progress**2
""",
    "model": """
from torch import nn

import vaebench as vb


@vb.model
def with_tanh(sizes, *, width: int = 8):
    encoder = nn.Sequential(
        nn.Flatten(), nn.Linear(sizes.pixels, width), nn.Tanh(), nn.Linear(width, sizes.posterior)
    )
    return encoder, nn.Linear(sizes.code, sizes.out)
""",
}
MODEL = {"latent_dim": 2, "widths": [8]}
USED = {
    "posterior": {"posterior": "unit_variance"},
    "rate_weight": {"rate_weight": {"name": "quadratic", "hyper": {"stop": 0.5}}},
    "model": {"model": {"name": "with_tanh", "latent_dim": 2}},
}
STUDY = """
name = "s"
[base]
objective = "elbo"
likelihood = "bernoulli"
posterior = "unit_variance"
rate_weight = { name = "quadratic", stop = 0.5 }
data = { binarisation = "dynamic" }
model = { name = "with_tanh", latent_dim = 2, width = 5 }
train = { num_steps = 40, batch_size = 16 }
evaluate = { num_samples = 5, num_images = 40 }
[axes]
seed = [0, 1]
"""


def forget():
    """Take back what the files have registered."""
    for registry, name in ((POSTERIORS, "unit_variance"), (SCHEDULES, "quadratic")):
        registry._entries.pop(name, None)
    MODELS._entries.pop("with_tanh", None)
    surroundings._known.clear()
    refusal.cache_clear()


@pytest.fixture
def folder(tmp_path):
    yield tmp_path
    forget()


def written(folder, kinds=FILES, more=""):
    folder.mkdir(exist_ok=True)
    for kind in kinds:
        (folder / f"{kind}.py").write_text(FILES[kind] + more)
    return [str(folder / f"{kind}.py") for kind in kinds]


def test_each_kind_is_registered_and_trains(folder):
    study = folder / "s.toml"
    study.write_text(STUDY)
    frame = vb.run(study, folder / "out", plugins=written(folder), executor="inline", timings=False)
    records = list(results.records(folder / "out"))
    assert [record.status for record in records] == ["done", "done"]
    assert frame[frame["metric"] == "elbo"]["value"].notna().all()
    functions = (
        POSTERIORS["unit_variance"].distribution,
        MODELS["with_tanh"].networks,
        SCHEDULES["quadratic"].value,
    )
    fingerprints = parse(records[0].config).plugin.split("+")
    assert fingerprints == [source_fingerprint(function) for function in functions]


@pytest.mark.parametrize("kind", FILES)
def test_an_edited_file_is_another_run(folder, kind):
    plain = run_config(model=MODEL).id
    load_plugins(written(folder / "before", [kind]))
    before = run_config(**{"model": MODEL} | USED[kind])
    forget()
    load_plugins(written(folder / "after", [kind], more="# edited\n"))
    after = run_config(**{"model": MODEL} | USED[kind])
    assert before.plugin and after.plugin and before.plugin != after.plugin
    assert len({plain, before.id, after.id}) == 3


def test_a_schedule_within_a_choice_counts_too(folder):
    load_plugins(written(folder, ["rate_weight"]))
    value = {"name": "quadratic", "hyper": {"stop": 4.0}}
    config = run_config({"name": "beta_elbo", "hyper": {"beta": value}}, model=MODEL)
    assert SCHEDULES["quadratic"].value in functions_of(config)
    assert config.plugin


def test_a_plugin_with_a_misspelt_fact_ends_in_one_line(folder):
    from click.testing import CliRunner

    from vaebench.cli import main

    (folder / "mine.py").write_text(FILES["posterior"].replace("num_inputs", "num_imputs"))
    done = CliRunner().invoke(main, ["list", "--plugin", str(folder / "mine.py")])
    assert done.exit_code == 2
    assert len(done.output.splitlines()) == 1
    assert "no argument 'num_imputs'; did you mean 'num_inputs'?" in done.output
