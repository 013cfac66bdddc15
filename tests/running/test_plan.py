"""Stacks, processes and threads: a function of the runs and of the memory there is."""

import time

import pytest
import torch

from tests.support.runs import tiny
from vaebench import results
from vaebench.config.resolve import resolve
from vaebench.core import memory
from vaebench.running import plan as stacking
from vaebench.running import prepare
from vaebench.running.harness import train_all
from vaebench.running.machine import Machine, this_machine
from vaebench.running.plan import StackPlan, stacks
from vaebench.running.work import StepWork

CPU = torch.device("cpu")
FREE = {"bytes": 1 << 40, "cores": 8}
"""What `plan` finds of the machine."""


def plan(configs, num_workers, device, compiled=stacking.NOTHING):
    share = FREE["bytes"] / num_workers
    return stacking.plan(configs, Machine(device, num_workers, FREE["cores"], share), compiled)


def runs(num, **changes):
    return [tiny(seed=seed, **changes) for seed in range(num)]


@pytest.fixture
def counted(monkeypatch):
    """A machine with so much memory free, on which a run takes 1 MiB; and no clock is read."""

    def machine(free=1 << 40, flops=0, cores=8):
        work = StepWork(flops, flops, elements=0, num_bytes=1 << 20, step_bytes=1 << 19)
        monkeypatch.setattr(stacking, "step_work", lambda config: work)
        monkeypatch.setitem(FREE, "bytes", free)
        monkeypatch.setitem(FREE, "cores", cores)

    for name in ("perf_counter", "monotonic", "process_time", "time"):
        monkeypatch.setattr(time, name, lambda: pytest.fail("a clock was read"))
    machine()
    return machine


def sizes(computed):
    return sorted(map(len, computed.stacks))


@pytest.mark.parametrize(
    ("num_runs", "num_workers", "expected"),
    [
        (1, 1, [1]),
        (16, 1, [16]),
        (17, 1, [8, 9]),
        (40, 2, [13, 13, 14]),
        (8, 2, [4, 4]),  # cores would idle
        (8, 3, [2, 2, 4]),
        (3, 8, [1, 1, 1]),
    ],
)
def test_stacks_of_the_default_size_and_as_many_as_workers(
    counted, num_runs, num_workers, expected
):
    computed = plan(runs(num_runs), num_workers, CPU)
    assert sizes(computed) == expected
    assert computed.num_workers == min(num_workers, len(expected))
    assert computed.num_threads == 1


def test_a_stack_fits_into_its_share_of_memory(counted):
    counted(free=24 << 20)  # of which half, for two workers: 6 runs of 1 MiB
    assert sizes(plan(runs(12), 2, CPU)) == [6, 6]
    counted(free=0)
    assert sizes(plan(runs(3), 1, CPU)) == [1, 1, 1]


def test_what_graphs_keep_in_a_worker_is_no_room_for_runs(counted):
    """Each graph keeps the tensors of a step, here 0.5 MiB, whichever stack is at work."""
    counted(free=12 << 20)  # of which half: 6 runs of 1 MiB
    one, other = runs(6), runs(6, objective="elbo_mc")
    keys = [configs[0].stack_key for configs in (one, other)]
    assert sizes(plan([*one, *other], 1, CPU)) == [6, 6]
    assert sizes(plan([*one, *other], 1, CPU, dict.fromkeys(keys, "same"))) == [3, 3, 3, 3]
    two_graphs = dict(zip(keys, ("one", "other"), strict=True))
    assert sizes(plan([*one, *other], 1, CPU, two_graphs)) == [3, 3, 3, 3]
    counted(free=15 << 20)
    assert sizes(plan([*one, *other], 1, CPU, dict.fromkeys(keys, "same"))) == [
        6,
        6,
    ]
    assert sizes(plan([*one, *other], 1, CPU, two_graphs)) == [6, 6]
    counted(free=13 << 20)
    assert sizes(plan([*one, *other], 1, CPU, dict.fromkeys(keys, "same"))) == [6, 6]
    assert sizes(plan([*one, *other], 1, CPU, two_graphs)) == [3, 3, 3, 3]


@pytest.mark.parametrize(("num_gpus", "expected"), [(1, [150, 150]), (4, [75] * 4)])
def test_a_gpu_has_large_stacks_and_each_gpu_has_one(counted, num_gpus, expected):
    computed = plan(runs(300), num_gpus, torch.device("cuda"))
    assert (sizes(computed), computed.num_workers) == (expected, num_gpus)


@pytest.mark.parametrize(("asked", "expected"), [(None, 3), (2, 2), (8, 3)])
def test_this_machine_has_a_worker_for_each_gpu(monkeypatch, asked, expected):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for name, value in {"is_available": True, "device_count": 3}.items():
        monkeypatch.setattr(torch.cuda, name, lambda value=value: value)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (64, 80))
    machine = this_machine(asked)
    assert (machine.device.type, machine.num_workers) == ("cuda", expected)
    assert machine.worker_bytes == 64, "a GPU is not shared"


def test_without_a_gpu_workers_share_the_memory_of_the_machine(monkeypatch):
    monkeypatch.setattr("vaebench.running.machine.available_bytes", lambda device: 100)
    monkeypatch.setattr("vaebench.running.machine.num_cores", lambda: 5)
    assert this_machine() == Machine(CPU, 5, 5, 20.0)
    assert this_machine(2) == Machine(CPU, 2, 5, 50.0)


@pytest.mark.parametrize(
    ("num_runs", "flops", "is_compiled", "expected"),
    [
        (1, stacking.THREADED_FLOPS, False, 4),
        (1, stacking.THREADED_FLOPS - 1, False, 1),
        (1, stacking.THREADED_FLOPS, True, 1),  # compiled steps take one
        (2, stacking.THREADED_FLOPS, False, 2),
        (3, stacking.THREADED_FLOPS, False, 1),
        (9, stacking.THREADED_FLOPS, False, 1),
    ],
)
def test_large_steps_of_few_runs_get_the_cores_that_are_left(
    counted, num_runs, flops, is_compiled, expected
):
    counted(flops=flops)
    configs = runs(num_runs)
    compiled = {c.stack_key: "graph" for c in configs if is_compiled}
    assert plan(configs, 4, CPU, compiled).num_threads == expected


def test_every_run_is_in_one_stack(counted):
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

    monkeypatch.setattr(stacking, "step_work", fails)
    assert plan(runs(1), 2, CPU) == StackPlan([runs(1)], 1)


@pytest.mark.parametrize("size", [1, 2])
def test_stacks_do_not_show_in_the_results(tmp_path, monkeypatch, size):
    configs = resolve(runs(3))
    monkeypatch.setattr(prepare, "plan", lambda c, *_: StackPlan(stacks(c, size), 1))
    train_all(configs, tmp_path / "apart", "s", executor="inline")
    monkeypatch.setattr(prepare, "plan", lambda c, *_: StackPlan(stacks(c, 3), 1))
    train_all(configs, tmp_path / "together", "s", executor="inline")
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
