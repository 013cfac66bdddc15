"""How many of the numbers are not 0 that the affine maps of a trained network are given.

    python -m benchmarks.ops.zeros --out results/reference/zeros

`shares.csv`: for each data set and map, the share of nonzeros among what it is given for the first
1,000 test images, with codes drawn from q(z|x), after a run of `elbo` on one thread. The first map
of the encoder is given the images, the others what a ReLU has let through; the decoder's first,
codes, which have no zeros. Products of compiled steps leave zeros out (ops/c/sparse.c).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from vaebench.config import parse
from vaebench.config.build import load_data, streams
from vaebench.models import VAE
from vaebench.models.networks.layers import StackedLinear
from vaebench.models.terms import compute_terms
from vaebench.training.loop import train

NUM_IMAGES = 1000
SEEN = (
    ("digits", "dynamic", "bernoulli", {"latent_dim": 8, "widths": [128]}),
    ("digits", "none", "continuous_bernoulli", {"latent_dim": 8, "widths": [128]}),
    ("mnist", "dynamic", "bernoulli", {"latent_dim": 20, "widths": [400]}),
)
"""Data set, how it is observed, a likelihood of such values, and the sizes of the model."""


def rows(name: str, binarisation: str, likelihood: str, model: dict[str, Any], steps: int) -> Any:
    """The lines of a data set, one for each affine map."""
    config = parse(
        {
            "objective": "elbo",
            "likelihood": likelihood,
            "data": {"name": name, "binarisation": binarisation},
            "model": model,
            "train": {"num_steps": steps},
        }
    )
    dataset = load_data(config.data)
    trained = train([config], dataset, torch.device("cpu")).model
    x = dataset.observations("test")[:NUM_IMAGES][None]
    for place, share in shares(trained, x, config):
        yield {"dataset": name, "binarisation": binarisation, "map": place, "nonzero": share}


def shares(model: VAE, x: Tensor, config: Any) -> Iterator[tuple[str, float]]:
    """The name of each affine map of a VAE, and the share of nonzeros in what it is given."""
    nonzero: dict[str, float] = {}
    for place, module in model.named_modules():
        if isinstance(module, StackedLinear):
            module.register_forward_pre_hook(
                lambda _, inputs, place=place: nonzero.update({place: _nonzero(inputs[0])})
            )
    with torch.no_grad():
        terms = compute_terms(model, x, streams([config], "evaluate"))
        assert terms.log_px_z.isfinite().all()
    yield from nonzero.items()


def _nonzero(x: Tensor) -> float:
    return float((x != 0).double().mean())


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = pd.DataFrame(line for seen in SEEN for line in rows(*seen, options.steps))
    options.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(options.out / "shares.csv", index=False)
    print(table.to_string(index=False))
