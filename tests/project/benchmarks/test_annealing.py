"""The table of annealing: both NLLs on the same images."""

import numpy as np
import pytest

from benchmarks.annealing.__main__ import NUM_IMAGES, is_chosen, table
from vaebench import results
from vaebench.results import Labels, Record


def record(run, seed, likelihood="bernoulli", status="done"):
    labels = Labels("mnist-500", likelihood, "elbo", "{}", "elbo", 1, "m/mass/K=5000/0", "", seed)
    return Record(run=run * 16, study="mnist", labels=labels, status=status)


def test_the_first_seed_on_binarised_images_is_chosen():
    every = [
        record("0", 0),
        record("1", 1),
        record("2", 0, "gaussian"),
        record("3", 0, status="failed"),
    ]
    assert [each.run for each in every if is_chosen(each)] == ["0" * 16]


def test_both_are_of_the_same_images(tmp_path):
    run = record("0", 0)
    results.prepare(tmp_path)
    nll = np.arange(2.0 * NUM_IMAGES)
    results.write_examples(tmp_path, run.run, {"nll": nll})
    row = {"run": run.run, "metric": "ais_nll", "value": 9.0, "low": 8.5, "high": 9.5}
    others = [{"run": run.run, "metric": "ais_ess", "value": 0.5, "low": None, "high": None}]
    line = table(tmp_path, [run], [row, *others]).iloc[0]
    assert line["nll"] == pytest.approx(nll[:NUM_IMAGES].mean())
    assert line["ais_nll_low"] == 8.5
    assert line["nll_above_ais"] == pytest.approx(nll[:NUM_IMAGES].mean() - 9.0)
