"""The timing of operations: what it reports, not how long anything takes."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch

from vaebench.ops import densities
from vaebench.ops.check import speed as timing
from vaebench.ops.check import tables
from vaebench.ops.check.cases import OPERATIONS, Case
from vaebench.ops.check.correctness import Op, Row

KEYS = {"op", "size", "dtype", "backend", "direction", "metric", "value", "unit", "status"}
KEYS |= {"device", "torch", "triton"}
KL = "reparameterise_kl"

no_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")


@pytest.fixture(autouse=True)
def copied_in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "copy_bandwidth", lambda device: 10.0)


def timed(op: str = KL, **arguments: Any) -> list[Row]:
    options = {"operations": [op], "samples": [1], "turns": 6, "seconds": 0.0} | arguments
    return timing.time_operations("cpu", ((300, 3),), **options)  # type: ignore[arg-type]


def of(rows: list[Row], **wanted: object) -> dict[object, Any]:
    """Values by metric of the rows that match."""
    chosen = [row for row in rows if wanted.items() <= row.items()]
    return {row["metric"]: row["value"] for row in chosen}


def statuses(rows: list[Row], backend: str) -> set[object]:
    return {row["status"] for row in rows if row["backend"] == backend}


@pytest.mark.parametrize("op", OPERATIONS)
def test_race_measures_what_can_run(op: str) -> None:
    rows = timed(op)
    assert all(row.keys() == KEYS for row in rows)
    assert statuses(rows, "compiled") == {"not measured: not asked for"}
    for backend in ("eager", "reference", "cpu"):
        assert statuses(rows, backend) == {"measured"}
        for direction in ("forward", "backward", "both"):
            computed = of(rows, backend=backend, direction=direction)
            assert 0.0 < computed["time_q20"] <= computed["time_median"] <= computed["time_q80"]
            gigabytes = computed["traffic"] / 1e9
            assert computed["bandwidth"] == pytest.approx(
                gigabytes / (computed["time_median"] / 1e3)
            )
            assert computed["bandwidth_of_copy"] == pytest.approx(computed["bandwidth"] / 10.0)
            assert computed["speedup_over_eager"] > 0.0
    assert of(rows, backend="eager", direction="both")["speedup_over_eager"] == 1.0


@no_cuda
def test_race_has_a_row_for_the_kernel_without_a_gpu() -> None:
    rows = [row for row in timed() if row["backend"] == "triton"]
    assert {row["direction"] for row in rows} == {"forward", "backward", "both"}
    assert {row["status"] for row in rows} == {"not measured: no CUDA device"}
    assert {row["value"] for row in rows} == {None}


def test_what_is_too_large_has_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "MOST_ELEMENTS", {"cpu": 1000})
    rows = timed(samples=[1, 50])
    assert statuses([r for r in rows if r["size"] == "1x1x300x3"], "cpu") == {"measured"}
    large = [r for r in rows if r["size"] == "50x1x300x3"]
    assert statuses(large, "eager") == {"not measured: too large for a cpu"}


def test_a_backend_that_is_wrong_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = densities.reparameterise_kl

    def double_kl(*inputs: Any) -> Any:
        z, kl = right(*inputs)
        return z, 2.0 * kl

    monkeypatch.setattr(densities, "reparameterise_kl", double_kl)
    rows = timed()
    (status,) = statuses(rows, "reference")
    assert str(status).startswith("not measured: check failed: kl is off by")
    assert not of(rows, backend="reference", status="measured")
    assert statuses(rows, "eager") == {"measured"}


def test_a_compiler_that_fails_has_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Any:
        raise RuntimeError("no C++ compiler found\nwith a long trace")

    monkeypatch.setattr(timing, "_compile_eager", lambda case: fail)
    rows = timed(compiled=True)
    assert statuses(rows, "compiled") == {"not measured: RuntimeError: no C++ compiler found"}
    assert statuses(rows, "eager") == {"measured"}


def test_backends_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Op] = []

    def sample(_: object, op: Op, *__: object) -> tuple[tuple[float, float], int]:
        seen.append(op)
        return (1.0, 2.0), 7

    monkeypatch.setattr(timing, "_sample", sample)
    rows = timed()
    turns = [set(seen[i : i + 3]) for i in range(0, len(seen), 3)]
    assert all(len(turn) == 3 for turn in turns)
    assert len(turns) == 1 + timing.LEAST_TURNS  # a warm-up, then no more: no time was given
    computed = of(rows, backend="reference", direction="both")
    assert computed["time_median"] == 3.0
    assert computed["peak_memory"] == 7


def test_race_leaves_the_threads_as_they_were() -> None:
    before = torch.get_num_threads()
    timed()
    assert torch.get_num_threads() == before


def test_the_copy_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert timing.copy_bandwidth(torch.device("cpu"), 1 << 20) > 0.0


def test_tables_have_a_line_for_each_case() -> None:
    rows = timed(samples=[1, 2])
    table = tables.speed_table(rows)
    assert [line["backend"] for line in table] == ["eager", "reference", "cpu"] * 2
    assert all(line["both ms (20 to 80 %)"] and line["of copy"] for line in table)
    assert "compiled: not asked for (2 cases)" in tables.refusals(rows)


def test_the_public_functions_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """`cpu` is what a user calls, the choice of a path included."""
    seen: list[ModuleType] = []
    real = timing._in
    monkeypatch.setattr(timing, "_in", lambda case, ops: seen.append(ops) or real(case, ops))
    case = Case(KL, 1, 1, 3, 4, torch.float32, torch.device("cpu"))
    timing._backends(case, compiled=False)
    assert [ops.__name__ for ops in seen] == ["vaebench.ops.densities", "vaebench.ops"]
