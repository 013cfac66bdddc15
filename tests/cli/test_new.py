"""The start of a user's own file: written once, certified and run as it is."""

import pytest

from tests.core.test_plugin_kinds import surroundings
from tests.test_cli import STUDY, call
from vaebench.cli.new import STARTS
from vaebench.config.compatibility import refusal
from vaebench.core.plugins import load_plugins
from vaebench.diagnostics.certify import certify
from vaebench.evaluation import GRADINGS
from vaebench.models import MODELS
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.models.priors import PRIORS
from vaebench.objectives import OBJECTIVES

REGISTRIES = {
    "grading": GRADINGS,
    "likelihood": LIKELIHOODS,
    "model": MODELS,
    "objective": OBJECTIVES,
    "prior": PRIORS,
}
USED = {
    "grading": 'base.evaluate.gradings=["likelihood", "mine"]',
    "likelihood": "base.likelihood=mine",
    "model": 'base.model={name = "mine", width = 16, latent_dim = 2}',
    "objective": 'axes.objective=["mine", "elbo"]',
    "prior": "base.prior=mine",
}
TINY = (
    *("--executor", "inline", "--no-timings", "--set", "axes.seed=0"),
    *("--set", "base.train.num_steps=12", "--set", "base.evaluate.num_samples=3"),
)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder of the user's; what its files register is taken back."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for registry in REGISTRIES.values():
        registry._entries.pop("mine", None)
    surroundings._known.clear()
    refusal.cache_clear()


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=pytest.mark.slow if kind == "model" else ()) for kind in REGISTRIES],
)
def test_a_new_entry_is_certified_and_trains_as_it_is(here, kind):
    done = call("new", kind, "mine")
    assert done.exit_code == 0, done.output
    command = "evaluate RESULTS --grading mine" if kind == "grading" else "certify mine"
    assert done.stdout == f"wrote mine.py; next: vaebench {command} --plugin mine.py\n"
    if kind != "grading":
        load_plugins([str(here / "mine.py")])
        findings = certify(["mine"])
        assert len(findings) > 1 and not any(finding.fails for finding in findings)
    (here / "s.toml").write_text(STUDY)
    likely = ["--set", "base.data.binarisation=none"] if kind == "likelihood" else []
    sampled = ["--set", "axes.objective=elbo_mc"] if kind == "prior" else []
    settings = ["--set", USED[kind], *likely, *sampled]
    done = call("run", "s.toml", "--plugin", "mine.py", "--out", "out", *TINY, *settings)
    assert done.exit_code == 0, done.output
    metrics = call("runs", "out", "--json", "--plugin", "mine.py").stdout
    assert '"status": "done"' in metrics


def test_a_new_study_runs_as_it_is(here):
    done = call("new", "study", "mine")
    assert done.stdout == "wrote mine.toml; next: vaebench run mine.toml --dry-run\n"
    dry = call("run", "mine.toml", "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert "would train 12 runs" in dry.stdout
    done = call("run", "mine.toml", *TINY, "--set", "base.evaluate.num_images=20")
    assert done.exit_code == 0, done.output
    assert "4 of 4 runs done, recorded in results/runs/mine" in done.stdout


def test_every_start_is_tried():
    assert STARTS.keys() == {*REGISTRIES, "study"}


def test_nothing_is_overwritten(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("precious")
    done = call("new", "model", file)
    assert (done.exit_code, len(done.output.splitlines())) == (2, 1)
    assert "is there already" in done.output
    assert file.read_text() == "precious"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("modle", "mine.py"), "unknown kind 'modle'; did you mean 'model'?"),
        (("model", "my-own"), "it names the model; got 'my-own'"),
        (("model", "class"), "no word of Python: it names the model; got 'class'"),
        (("model", "/"), "it names the model; got ''"),
        (("objective", "elbo"), "objective 'elbo' comes with vaebench: choose another name"),
        (("model", "mine.txt"), "NAME must be letters, digits and _, with or without .py"),
        (("study", "mine.py"), "NAME must be letters, digits and _, with or without .toml"),
    ],
)
def test_a_mistake_is_answered_in_a_line(tmp_path, arguments, message):
    kind, name = arguments
    done = call("new", kind, tmp_path / name)
    assert (done.exit_code, len(done.output.splitlines())) == (2, 1)
    assert message in done.output
    assert not list(tmp_path.iterdir())
