"""Writes a results folder of synthetic records, as large and as long as those of the digits study.

`python -m benchmarks.folder.synthetic OUT --runs 100000` makes 20 data sets with 50 variants of
100 seeds each: the objectives and values of beta are real configurations with their true ids, the
figures and curves are drawn at random. One run in 500 is failed, one in 500 diverged. With
`--examples` the values of 360 examples lie beside each run, as `vaebench run` leaves them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from vaebench import results
from vaebench.config import RunConfig, parse
from vaebench.results import Record, Training, metric
from vaebench.running.recording import labels

NUM_SEEDS, NUM_VARIANTS = 100, 50
NUM_POINTS, NUM_STEPS = 40, 400
NUM_EXAMPLES = 360
LOST_EVERY = 500
CURVES = ("loss_nats", "rate_nats", "distortion_nats", "grad_norm", "valid_elbo_nats")
METRICS = (
    *("nll", "elbo", "rate", "distortion", "bits_per_dim", "valid_nll", "valid_elbo", "ess"),
    *("khat_high", "active_units", "collapsed", "rate_per_dimension", "aggregate_kl"),
    *("mutual_information", "mse", "frechet", "kid", "precision", "recall", "density", "coverage"),
    "memorised",
)
ENVIRONMENT = {
    "vaebench": "0",
    "torch": "2.13.0",
    "triton": "absent",
    "numpy": "2.5.0",
    "python": "3.11.15",
    "platform": "Linux-6.1-x86_64-with-glibc2.36",
    "processor": "synthetic",
    "native": "yes",
    "device": "cpu",
}
OPERATIONS = dict.fromkeys(("bernoulli", "gaussian_kl", "adam", "normals"), "cpu native")


def records(num_runs: int) -> Iterator[Record]:
    """So many records: data set by data set, variant by variant, seed by seed."""
    generator = np.random.default_rng(0)
    for line in range(-(-num_runs // NUM_SEEDS)):
        dataset, variant = divmod(line, NUM_VARIANTS)
        template = _template(dataset, variant)
        for seed in range(min(NUM_SEEDS, num_runs - line * NUM_SEEDS)):
            yield _record(template, line * NUM_SEEDS + seed, seed, variant, generator)


def _template(dataset: int, variant: int) -> RunConfig:
    """The configuration of a variant: beta grows with it, and every tenth is an IWAE."""
    table: dict[str, Any] = {
        "objective": {"name": "beta_elbo", "beta": 0.1 * (variant + 1)},
        "likelihood": "bernoulli",
        "data": {"name": f"set{dataset:02d}.npz", "binarisation": "static"},
        "train": {"num_steps": NUM_STEPS},
    }
    if variant % 10 == 0:
        table |= {"objective": "iwae", "num_samples": 2 + variant // 10}
    config = parse(table)
    data = msgspec.structs.replace(config.data, fingerprint=f"{dataset:016x}")
    return msgspec.structs.replace(config, data=data)


def _record(
    template: RunConfig, index: int, seed: int, variant: int, generator: np.random.Generator
) -> Record:
    config = msgspec.structs.replace(template, seed=seed)
    lost = index % LOST_EVERY < 2
    nll = 100.0 + 0.02 * variant + generator.normal()
    figures = [nll, *(nll + generator.normal(size=len(METRICS) - 1)).tolist()]
    curves = np.cumsum(generator.random((len(CURVES), NUM_POINTS)), axis=1) - nll - NUM_POINTS
    every = NUM_STEPS // NUM_POINTS
    return Record(
        run=config.id,
        study="synthetic",
        labels=labels(config, seed),
        status=("failed", "diverged")[index % LOST_EVERY] if lost else "done",
        reason="RuntimeError: a synthetic failure" if lost else "",
        metrics=[]
        if lost
        else [
            msgspec.structs.replace(metric(name, value, "test, K=100"), fingerprint="596f")
            for name, value in zip(METRICS, figures, strict=True)
        ],
        curves={"step": [float(every * (i + 1)) for i in range(NUM_POINTS)]}
        | {name: values.tolist() for name, values in zip(CURVES, curves, strict=True)},
        training=None if lost else Training(NUM_STEPS, NUM_STEPS, NUM_STEPS),
        config=msgspec.to_builtins(config),
        operations=OPERATIONS,
        environment=ENVIRONMENT,
        weights=64 * "0",
    )


def _examples(nll: float, seed: int) -> dict[str, np.ndarray[Any, Any]]:
    """Values of each example whose mean is the run's NLL: [360]. Runs share the examples."""
    shared = np.random.default_rng(0).normal(0.0, 10.0, NUM_EXAMPLES)
    noise = np.random.default_rng(seed).normal(0.0, 1.0, NUM_EXAMPLES)
    values = shared + noise
    return {"nll": (values - values.mean() + nll).astype(np.float32)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--examples", action="store_true")
    arguments = parser.parse_args()
    write(arguments.out, arguments.runs, arguments.examples)


def write(out: Path, num_runs: int, with_examples: bool = False) -> None:
    """Write the folder. Without fsync, which would take as long as training."""
    results.prepare(out)
    for index, record in enumerate(records(num_runs)):
        results.file_of(out, "runs", record.run).write_bytes(results.encoded(record))
        if with_examples and record.metrics:
            values = _examples(record.metrics[0].value or 0.0, index)
            path = results.file_of(out, "examples", record.run)
            np.savez_compressed(path, allow_pickle=False, **values)


if __name__ == "__main__":
    main()
