"""Compiled steps of counts and of real values, read in C, are the eager ones."""

import numpy as np
import pytest
import torch

from tests.support.runs import steps_of, tiny
from vaebench.config.resolve import resolve
from vaebench.training.stepping.compiled import way

LIBRARY = {"name": "counts", "library_size": True}
FOLDER = {"name": "folder", "values": "real", "standardise": True}


def losses(configs, *make_blocks):
    return torch.stack([step.loss for step in steps_of(configs, *make_blocks)[1]])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("likelihood", "data"),
    [
        ("zero_inflated_negative_binomial", LIBRARY),
        ("student_t", FOLDER),
    ],
)
def test_compiled_steps_are_the_eager_ones(likelihood, data, tmp_path):
    if data["name"] == "folder":
        x = np.random.default_rng(0).normal(400.0, 20.0, (80, 6)).astype(np.float32)
        for name, part in (("x_train", x[:60]), ("x_test", x[60:])):
            np.save(tmp_path / f"{name}.npy", part)
        data = {**data, "name": f"{tmp_path}/"}
    configs = resolve([tiny(likelihood=likelihood, data=data, seed=seed) for seed in (0, 1)])
    eager = losses(configs)
    compiled = losses(configs, lambda *args: way.CompiledSteps(way.Graphs(), *args))
    torch.testing.assert_close(compiled, eager, rtol=2e-4, atol=1e-3)
