"""The same run trained with the kernels, under Triton's interpreter, and with the reference.

`test_gpu.py` runs this file in a process of its own, with TRITON_INTERPRET=1.
"""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

from tests.support.runs import step_by_step
from vaebench.config import RunConfig, parse
from vaebench.config.build import build_stack, load_data
from vaebench.ops import densities, fused, gpu
from vaebench.training.loop import training_steps
from vaebench.training.stepping.eager import EagerStep

STEPS = 50

# The rows beyond the last hold no number: the interpreter warns of their logarithms, which are
# made and never stored.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def configs(objective: str, num_samples: int) -> list[RunConfig]:
    raw = {
        "objective": objective,
        "num_samples": num_samples,
        "likelihood": "bernoulli",
        "data": {"name": "digits", "binarisation": "dynamic"},
        "model": {"latent_dim": 4, "widths": [16]},
        "train": {"num_steps": STEPS, "batch_size": 8, "learning_rate": 1e-2},
    }
    return [parse(raw | {"seed": seed}) for seed in (0, 1)]


def curve(runs: list[RunConfig], operations: object) -> Tensor:
    """The loss of each step: [steps, S]."""
    dataset = load_data(runs[0].data)
    model = build_stack(runs, dataset.image_shape)
    make_blocks = step_by_step(partial(EagerStep, operations=operations))  # type: ignore[arg-type]
    steps = training_steps(model, runs, dataset, make_blocks)
    return torch.stack([step.loss for step in steps])


@pytest.mark.parametrize("objective, num_samples", [("elbo", 1), ("iwae", 2), ("dreg", 2)])
def test_kernels_and_reference_train_alike(
    objective: str, num_samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The latent step, the likelihood and the importance weights, all three or none."""
    runs = configs(objective, num_samples)
    curves = []
    for module in (gpu, densities):
        monkeypatch.setattr(fused, "implementation", lambda *_, module=module: module)
        curves.append(curve(runs, module))
    assert curves[0].shape == (STEPS, 2)
    torch.testing.assert_close(*curves, rtol=1e-4, atol=1e-3)
    assert (curves[0][-5:].mean(0) < curves[0][:5].mean(0)).all()
