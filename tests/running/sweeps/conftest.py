"""The study that tests of sweeps edit."""

import pytest

from vaebench.config.study import read

RANGE = '"train.learning_rate" = { low = 1e-4, high = 1e-2, log = true }'
STUDY = """
name = "tuned"
[base]
objective = "beta_elbo"
likelihood = "bernoulli"
model = {{ latent_dim = 2, widths = [8] }}
train = {{ num_steps = 12, batch_size = 16 }}
evaluate = {{ num_samples = 3, num_images = 20 }}
data = {{ name = "{data}", binarisation = "static" }}
[axes]
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
        text = STUDY.format(data=tiny_npz, target=target)
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
