"""The study that tests of sweeps edit."""

import pytest

from tests.support.studies import study_text
from vaebench.config.study import read

RANGE = '"train.learning_rate" = { low = 1e-4, high = 1e-2, log = true }'
SWEEP = """[axes]
seed = [0, 1]
[sweep]
target = "{target}"
batch = 2
final_seeds = 0
[sweep.space]
"train.learning_rate" = {{ low = 1e-4, high = 1e-2, log = true }}
"""


@pytest.fixture
def study(tmp_path, tiny_npz):
    def write(target="nll", *edits):
        more = SWEEP.format(target=target)
        text = study_text(tiny_npz, name="tuned", objective="beta_elbo", more=more)
        for old, new in edits:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "tuned.toml"
        path.write_text(text)
        return read(path)

    return write


def piwae(study, *edits):
    """Groups from 1 to 4 of 4 samples: 3 do not divide them."""
    return study(
        "nll",
        ('"beta_elbo"', '"piwae"\nnum_samples = 4'),
        ("batch = 2", "batch = 4"),
        (RANGE, '"objective.groups" = { low = 1, high = 4 }\ntrain.learning_rate = [1e-3]'),
        *edits,
    )
