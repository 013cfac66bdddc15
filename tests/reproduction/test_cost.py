"""Foretold costs: counted operations over given rates."""

import pytest

from tests.support.runs import run_config
from vaebench.reproduction import cost, read_claim
from vaebench.reproduction.cost import Core, Foretold, foretold, run_s, total_s
from vaebench.running.choosing import SAVED_PER_STEP
from vaebench.running.foretold import grading_s
from vaebench.running.work import step_work


def test_a_run_costs_its_steps_and_the_samples_of_its_grade():
    config = run_config(num_steps=100)
    step = step_work(config)
    # One rate infinite leaves the other alone.
    of_products = run_s(config, Core(1.0, float("inf")))
    assert of_products == pytest.approx(100 * step.flops + grading_s(config))
    of_writes = run_s(config, Core(float("inf"), 1.0))
    assert of_writes == pytest.approx(100 * step.elements + grading_s(config))


def test_runs_of_a_stack_share_the_dispatch_of_its_steps():
    configs = [run_config(num_steps=100, seed=seed) for seed in range(3)]
    core = Core(1e9, 1e9)
    expected = 100 * SAVED_PER_STEP + 3 * run_s(configs[0], core)
    assert total_s(configs, core) == pytest.approx(expected)


def test_the_list_fetches_no_data_and_says_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("VAEBENCH_DATA", str(tmp_path))
    monkeypatch.setattr(cost, "names", lambda: ["altosaar-mean-field", "ladder-vae", "sigma-vae"])
    monkeypatch.setattr("vaebench.data.lookup.cache_folder", lambda: tmp_path)
    static, lacking, digits = foretold(Core(1e10, 1e9))
    assert (static.cpu_s, static.full_s) == (None, None)
    assert static.needs.startswith("binarized_mnist.npz, which is fetched")
    assert lacking.needs.startswith("the suite lacks convolutional networks")
    assert digits.cpu_s > 0.0
    assert digits.full_s is None  # it is of MNIST
    assert digits.words["full"] == "-"


def test_a_measurement_of_gradients_costs_its_replicas():
    claim = read_claim("snr-slope-linear")
    small, large = (cost.claim_s(claim, scale, Core(1e10, 1e9)) for scale in claim.scales)
    wanted = claim.cpu.gradients, claim.full.gradients
    work = [len(g.seeds) * g.replicas for g in wanted]
    assert large / small == pytest.approx(work[1] / work[0], rel=0.05)


def test_a_line_of_the_list_is_in_words():
    line = Foretold("n", "t", 120.0, None, "")
    assert line.words == {"name": "n", "claim": "t", "cpu": "2 min", "full": "-", "needs": ""}
