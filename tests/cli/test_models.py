"""A network of the user's that cannot be trained ends a command in one line, with status 2."""

import pytest

from tests.core.test_plugin_kinds import surroundings
from tests.test_cli import STUDY, call
from vaebench.models import MODELS

START = """
import torch
from torch import nn
import vaebench as vb

SHARED = nn.Linear(128, 1)


class Unused(nn.Linear):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.left = nn.Parameter(torch.zeros(3))


@vb.model
def mine(sizes, *, width: int = 8, act: bool = True):
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(sizes.pixels, sizes.posterior))
    decoder = nn.Linear(sizes.code, sizes.out)
"""
BAD = {
    "return encoder": "must return two torch.nn.Modules, (encoder, decoder)",
    "return encoder, nn.Linear(sizes.code, 3)": "its decoder must give [B, 1, 8, 8] for [B, 2]",
    "return encoder.append(SHARED).append(nn.Linear(1, 4)), decoder": "its encoder must take",
    "return nn.Sequential(nn.Flatten(), nn.Linear(64, 128), SHARED, nn.Linear(1, 4)), decoder": (
        "its encoder must be made anew at each call; two runs share 'weight'"
    ),
    "return encoder, Unused(sizes.code, sizes.out)": "every parameter has a gradient; left",
    "return encoder.double(), decoder": "must have parameters of torch.float32",
    "return nn.Sequential(encoder, nn.BatchNorm1d(4, track_running_stats=False)), decoder": (
        "encoder: an example has in evaluation the same numbers whatever"
    ),
    "return encoder, decoder, 1": "must return two torch.nn.Modules",
    "1 / 0": "must make its networks; it raised ZeroDivisionError: division by zero (mine.py, line",
}
WORDS = {
    'model = { name = "mine", widht = 3 }': "no hyperparameter 'widht'; did you mean 'width'?",
    'model = { name = "mine", width = 2.5 }': "width must be a whole number; got 2.5",
    'model = { name = "mine", act = "yes" }': "act must be False or True; got 'yes'",
    'model = { name = "mine", widths = [3] }': "takes no widths, its sizes are its own",
    'model = { name = "mime" }': "unknown model 'mime'; did you mean 'mine'?",
}


@pytest.fixture
def answer(tmp_path):
    """Runs a study with a plugin; what it says in its one line."""

    def run(body, model='model = { name = "mine", latent_dim = 2 }'):
        (tmp_path / "mine.py").write_text(f"{START}    {body}\n")
        lines = [line for line in STUDY.splitlines() if not line.startswith("model =")]
        study = "\n".join(lines).replace("[base]", f"[base]\n{model}")
        (tmp_path / "s.toml").write_text(study)
        out = tmp_path / "out"
        done = call("run", tmp_path / "s.toml", "--plugin", tmp_path / "mine.py", "--out", out)
        assert done.exit_code == 2, done.output
        assert not list(out.rglob("*.json"))
        (line,) = done.output.splitlines()
        return line

    yield run
    MODELS._entries.pop("mine", None)
    surroundings._known.clear()


@pytest.mark.parametrize("body", BAD)
def test_a_bad_network_is_refused_in_a_line(answer, body):
    assert BAD[body] in answer(body)


@pytest.mark.parametrize("model", WORDS)
def test_a_bad_setting_is_refused_in_a_line(answer, model):
    assert WORDS[model] in answer("return encoder, decoder", model)
