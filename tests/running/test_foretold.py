"""Seconds that are foretold: counted work by measured constants, shared among workers."""

import pandas as pd
import pytest

from tests.support.runs import run_config
from vaebench.running import foretold
from vaebench.running.choosing import Work
from vaebench.running.work import step_work
from vaebench.training.stepping.ways import EAGER, Stepping

REFERENCE = "results/reference"


def test_the_constants_of_grading_are_those_of_the_committed_figures():
    """Two unknowns, a sample and an operation, of two models: digits 64-128-8 and 784-400-20."""
    share = pd.read_csv(f"{REFERENCE}/harness/share.csv").set_index("part")["seconds"]
    rate = pd.read_csv(f"{REFERENCE}/evaluation/rate_1.csv").iloc[0]["evaluations_per_s"]
    small_s, large_s = share["grading likelihood"] / (70 * (360 + 240) * 100), 1 / rate
    small, large = 2 * 128 * (8 + 64), 2 * 400 * (20 + 784)
    per_flop = (large_s - small_s) / (large - small)
    assert float(f"{per_flop:.2g}") == foretold.GRADED_PER_FLOP
    assert float(f"{small_s - per_flop * small:.2g}") == foretold.GRADED_PER_SAMPLE


def test_grading_takes_the_samples_of_held_out_and_validation_examples():
    config = run_config(num_steps=100)  # a decoder 2-8-64, of which products are counted
    of_sample = foretold.GRADED_PER_SAMPLE + foretold.GRADED_PER_FLOP * 2 * 8 * (2 + 64)
    num_samples = config.evaluate.num_samples * (360 + 240)
    assert foretold.grading_s(config) == pytest.approx(num_samples * of_sample)


def test_runs_cost_their_steps_and_their_grades_and_eager_steps_what_compiled_ones_save():
    config = run_config(num_steps=100)
    eager = foretold.cost([config] * 3, EAGER)
    compiled = foretold.cost([config] * 3, Stepping("compiled"))
    work = Work().and_of(3, 100, step_work(config))
    assert compiled.training_s == pytest.approx(work.compiled_s)
    assert eager.training_s - compiled.training_s == pytest.approx(work.saved_s)
    assert eager.grading_s == pytest.approx(3 * foretold.grading_s(config))
    assert eager.num_bytes == 3 * step_work(config).num_bytes


@pytest.mark.parametrize(
    ("jobs", "num_workers", "seconds"),
    [([3.0, 1.0, 1.0, 1.0], 2, 3.0), ([1.0, 1.0, 3.0], 2, 4.0), ([2.0, 2.0], 1, 4.0), ([], 2, 0)],
)
def test_workers_take_jobs_in_order(jobs, num_workers, seconds):
    assert foretold.makespan_s(jobs, num_workers) == seconds
