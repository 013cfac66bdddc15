"""A study of two variants with two seeds, as a file."""

import pytest

STUDY = """
name = "tiny"
[base]
likelihood = "bernoulli"
model = {{ latent_dim = 2, widths = [8] }}
train = {{ num_steps = {num_steps}, batch_size = 16 }}
evaluate = {{ num_samples = 3, num_images = 20 }}
data = {{ name = "{data}", binarisation = "static" }}
[axes]
seed = [0, 1]
variant = [{{ objective = "elbo" }}, {{ objective = "iwae", num_samples = 2 }}]
"""


@pytest.fixture
def study(tmp_path, tiny_npz):
    def write(num_steps=12):
        path = tmp_path / "tiny.toml"
        path.write_text(STUDY.format(num_steps=num_steps, data=tiny_npz))
        return path

    return write
