"""docs/own-model.md: its file, its study and its commands do what the page says."""

import re

import pytest
import torch

from tests.core.test_plugin_kinds import surroundings
from tests.support import ROOT
from tests.support.graphs import OF_COMPILING, needs_compiler
from tests.test_cli import call
from vaebench.config import parse
from vaebench.config.build import family_of
from vaebench.models import MODELS
from vaebench.results import records

pytestmark = [*OF_COMPILING, pytest.mark.slow]
PAGE = (ROOT / "docs" / "own-model.md").read_text()


def block(language):
    """The first block of a language on the page."""
    return re.search(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[1]


@pytest.fixture
def plugin(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(block("python"))
    (tmp_path / "own.toml").write_text(block("toml"))
    yield file
    MODELS._entries.pop("mine", None)
    surroundings._known.clear()


def test_the_study_runs_and_its_weights_are_those_of_the_modules(plugin, tmp_path):
    out = tmp_path / "own"
    arguments = "--plugin", plugin, "--out", out, "--executor", "inline", "--no-timings"
    done = call("run", tmp_path / "own.toml", *arguments)
    assert done.exit_code == 0, done.output
    assert "8 of 8 runs done" in done.stdout
    assert "in nll (difference" in call("compare", out).stdout
    record = next(r for r in records(out) if r.config["model"]["name"] == "mine")
    assert record.config["model"]["hyper"] == {"channels": 8, "dropout": 0.1}
    stored = torch.load(out / "weights" / f"{record.run}.pt")
    sizes = family_of(parse(record.config)).sizes((8, 8))
    for name, network in zip(
        ("encoder", "decoder"), MODELS["mine"].networks(sizes, channels=8), strict=True
    ):
        prefix = f"{name}.network."
        network.load_state_dict(
            {k.removeprefix(prefix): t[0] for k, t in stored.items() if k.startswith(prefix)}
        )


@needs_compiler
def test_it_is_certified_compiled_steps_included(plugin):
    done = call("certify", "mine", "--plugin", plugin)
    assert done.exit_code == 0, done.output
    assert "compiled steps are the eager ones" in done.stdout
    assert "27 facts hold, 0 fail" in done.stdout
