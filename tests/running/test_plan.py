"""Stacks, processes and threads: what the measured times say, within the memory there is."""

import msgspec
import pytest
import torch

from tests.support.runs import tiny
from vaebench import results
from vaebench.config.build import build_stack
from vaebench.config.study import resolve
from vaebench.core import memory
from vaebench.running import harness
from vaebench.running import plan as stacking
from vaebench.running.plan import StackPlan, best_size, plan, stacks

CPU = torch.device("cpu")


def runs(num, **changes):
    return [tiny(seed=seed, **changes) for seed in range(num)]


@pytest.fixture
def measured(monkeypatch):
    """A machine on which a step takes `fixed` and, for each run, `of_a_run`; threads divide it."""

    def machine(fixed, of_a_run, speedup=1.0, free=1 << 40):
        asked = []

        def seconds(configs, device, num_threads=1):
            asked.append(len(configs))
            return (fixed + of_a_run * len(configs)) / (speedup if num_threads > 1 else 1.0)

        monkeypatch.setattr(stacking, "_sizes", {})
        monkeypatch.setattr(stacking, "_bytes", {})
        monkeypatch.setattr(stacking, "step_seconds", seconds)
        monkeypatch.setattr(stacking, "available_bytes", lambda device: free)
        monkeypatch.setattr(stacking, "run_bytes", lambda config: 1 << 20)
        return asked

    return machine


@pytest.mark.parametrize(
    "fixed, expected",
    [
        (0.0, 8),  # nothing is shared: a second run costs as much as the first
        (4.0, 64),  # per run 1.5, 1.25, 1.125, 1.0625, 1.03: the last is no 5% less
        (100.0, 100),  # nearly all is shared
    ],
)
def test_a_stack_is_doubled_while_that_pays(measured, fixed, expected):
    measured(fixed, 1.0)
    assert best_size(runs(100), 1, CPU) == expected


def test_what_was_measured_serves_every_group_of_the_shape(measured):
    asked = measured(4.0, 1.0)
    best_size(runs(20), 1, CPU)
    once = len(asked)
    best_size(runs(20, objective="elbo_mc"), 1, CPU)
    assert len(asked) == once > 0
    best_size(runs(20, num_samples=3), 1, CPU)
    assert len(asked) > once


def test_few_runs_share_a_stack_unmeasured(measured):
    asked = measured(0.0, 1.0)
    assert best_size(runs(8), 1, CPU) == 8
    assert not asked


def test_a_stack_fits_into_its_share_of_memory(measured):
    measured(100.0, 1.0, free=24 << 20)  # of which half, for two workers: 6 runs of 1 MiB
    assert best_size(runs(100), 2, CPU) == 6
    assert [len(s) for s in plan(runs(12), 2, CPU).stacks] == [6, 6]


def test_stacks_are_split_for_cores_that_would_idle(measured):
    measured(1.0, 1.0, speedup=1.1)
    assert [len(s) for s in plan(runs(8), 2, CPU).stacks] == [4, 4]
    computed = plan(runs(8), 3, CPU)
    assert (sorted(map(len, computed.stacks)), computed.num_workers) == ([2, 2, 4], 3)


def test_threads_take_over_where_they_are_faster(measured):
    measured(4.0, 1.0, speedup=1.9)
    computed = plan(runs(8), 2, CPU)
    assert (len(computed.stacks), computed.num_workers, computed.num_threads) == (1, 1, 2)


@pytest.mark.parametrize("speedup, threads", [(0.9, 1), (1.1, 1), (1.5, 2)])
def test_one_run_gets_the_threads_that_help(measured, speedup, threads):
    measured(1.0, 1.0, speedup=speedup)
    assert plan(runs(1), 2, CPU).num_threads == threads


def test_objectives_that_hold_more_get_smaller_stacks():
    """beta_tc compares every code with every example, dimension by dimension."""
    large = {
        "model": {"latent_dim": 16, "widths": [8]},
        "train": {"num_steps": 2, "batch_size": 64},
    }
    elbo, beta_tc = (tiny(objective=name, **large) for name in ("elbo", "beta_tc"))
    assert stacking.run_bytes(beta_tc) > 10 * stacking.run_bytes(elbo)


def test_every_run_is_in_one_stack(measured):
    measured(4.0, 1.0)
    configs = runs(21) + runs(3, objective="elbo_mc") + runs(5, num_samples=2)
    for cores in (1, 2, 7):
        computed = plan(configs, cores, CPU).stacks
        assert sorted(c.id for stack in computed for c in stack) == sorted(c.id for c in configs)
        assert all(len({c.stack_key for c in stack}) == 1 for stack in computed)


def test_runs_with_one_learning_rate_are_neighbours():
    rates = [1e-3, 1e-2, 1e-3, 1e-2]
    configs = [
        tiny(seed=i, train={"num_steps": 5, "learning_rate": r}) for i, r in enumerate(rates)
    ]
    (stack,) = stacks(configs)
    assert [c.train.learning_rate for c in stack] == sorted(rates)


def test_a_step_that_fails_is_the_workers_to_report(monkeypatch):
    def fails(*_):
        raise RuntimeError("on purpose")

    monkeypatch.setattr(stacking, "step_seconds", fails)
    computed = plan(runs(1), 2, CPU)
    assert computed == StackPlan([runs(1)], 1)


def test_plugins_are_not_run_by_the_coordinator(measured):
    asked = measured(1.0, 1.0)
    computed = plan([msgspec.structs.replace(c, plugin="0123456789ab") for c in runs(20)], 2, CPU)
    assert [len(s) for s in computed.stacks] == [10, 10]
    assert not asked


def test_threads_are_as_before_after_a_probe():
    before = torch.get_num_threads()
    seconds = stacking.step_seconds(runs(2), CPU, num_threads=2)
    assert seconds > 0
    assert torch.get_num_threads() == before


def test_a_run_needs_its_weights_three_times_and_a_step():
    (config,) = runs(1)
    weights = 4 * sum(p.numel() for p in build_stack([config], (8, 8)).parameters())
    activations = 4 * config.train.batch_size * 64
    assert 3 * weights + activations < stacking.run_bytes(config) < 10 * (weights + activations)


@pytest.mark.parametrize("size", [1, 2])
def test_stacks_do_not_show_in_the_results(tmp_path, monkeypatch, size):
    configs = resolve(runs(3))
    monkeypatch.setattr(harness, "plan", lambda c, *_: StackPlan(stacks(c, size), 1))
    harness.train_all(configs, tmp_path / "apart", "s", executor="inline")
    monkeypatch.setattr(harness, "plan", lambda c, *_: StackPlan(stacks(c, 3), 1))
    harness.train_all(configs, tmp_path / "together", "s", executor="inline")
    apart, together = (
        results.load(tmp_path / folder).set_index(["run", "metric"])["value"].sort_index()
        for folder in ("apart", "together")
    )
    assert (apart.index == together.index).all()
    assert apart.to_numpy() == pytest.approx(together.to_numpy(), rel=1e-3, nan_ok=True)


def test_a_container_allows_what_its_limit_leaves(tmp_path):
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("400\n")
    (tmp_path / "memory.stat").write_text("anon 300\ninactive_file 50\n")
    assert memory._free_in_container(tmp_path) == 650
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._free_in_container(tmp_path) > 1 << 60
    assert memory._free_in_container(tmp_path / "absent") > 1 << 60
    assert 0 < memory.available_bytes(CPU) < 1 << 60
