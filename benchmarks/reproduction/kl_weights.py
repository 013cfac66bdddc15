"""Why a beta of 2 beats none under `gaussian_optimal` on digits: the grading, sigma, the images?

`python -m benchmarks.reproduction.kl_weights [--out FOLDER] [--seeds N]` trains what the claim
`sigma-vae` does at the scale `cpu`, without a beta on the KL and with one of 2, and grades both on
the images that they were trained on and on the test part: with more and more samples, and with
sigma as it was trained and as it fits the validation part. kl_weights.csv has -log p(x) of each.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from vaebench.config.study import Study, expand
from vaebench.data import PartName
from vaebench.evaluation import bounds
from vaebench.ops.noise import Noise, key
from vaebench.reproduction import read_claim
from vaebench.running.harness import run_all
from vaebench.running.restoring import load_model
from vaebench.running.trained import TrainedModel

RUNS = Path("results/runs/kl_weights")
BETAS = (1.0, 2.0)
NUM_SAMPLES = (1, 10, 100, 1000)
FACTORS, CHOSEN_BY = (0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5), 100
"""What sigma is multiplied by, and the samples by which the validation part chooses among them."""
NUM_GRADED = 300
"""Images of each part that are graded: the first ones."""


def study(seeds: int) -> Study:
    """The claim's, of the learned variance with these weights on the KL."""
    claimed = read_claim("sigma-vae").study_at("cpu")
    objective = [{"name": "beta_elbo", "beta": beta} for beta in BETAS]
    base = {**claimed.base, "likelihood": "gaussian_optimal"}
    axes = {"seed": list(range(seeds)), "objective": objective}
    return Study(name="kl-weights", base=base, axes=axes)


def rows_of(model: TrainedModel) -> Iterator[dict[str, Any]]:
    """-log p(x) of one run on each part: by more and more samples, and by the sigma that fits."""
    config = model.config
    run = {"beta": config.objective.hyper["beta"], "seed": config.seed}
    fitting = min(FACTORS, key=lambda factor: graded(model, "valid", CHOSEN_BY, factor))
    tried = [(1.0, num_samples) for num_samples in NUM_SAMPLES] + [(fitting, CHOSEN_BY)]
    for part in ("train", "test"):
        for place, (factor, num_samples) in enumerate(tried):
            sigma = "trained" if place < len(NUM_SAMPLES) else "fits the validation part"
            nll = graded(model, part, num_samples, factor)
            figures = {"factor": factor, "samples": num_samples, "nll": nll}
            yield {**run, "part": part, "sigma": sigma, **figures}


def graded(model: TrainedModel, part: PartName, num_samples: int, factor: float) -> float:
    """The mean of -log p(x) over the first images of a part, with so many times the sigma."""
    x = model.dataset.observe(part)[:NUM_GRADED]
    log_sigma = model.vae.fitted.get_buffer("of_log_sigma")
    trained = log_sigma.clone()
    log_sigma += math.log(factor)
    values = bounds(model.vae, x, noise(part), num_samples=num_samples)
    log_sigma.copy_(trained)
    return float(values.nll.mean())


def noise(part: str) -> Noise:
    """The same noise for all runs of a part."""
    return Noise((key(0, "kl weights", part),))


def main(out: Path, seeds: int) -> None:
    """Train what is not there, grade all, and write the table."""
    configs = expand(study(seeds))
    run_all(configs, RUNS, "kl-weights", timings=False, workers=1)
    table = pd.DataFrame([row for c in configs for row in rows_of(load_model(RUNS, c.id))])
    out.mkdir(parents=True, exist_ok=True)
    table.to_csv(out / "kl_weights.csv", index=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/reference/reproduction"))
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    main(arguments.out, arguments.seeds)
