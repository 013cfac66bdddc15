"""The timing race: what it reports, not how long anything takes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from vaebench import densities
from vaebench.densities import reparameterise_kl
from vaebench.kernels import race as timing
from vaebench.kernels.gate import Op, Row
from vaebench.noise import Noise

KEYS = {"op", "size", "dtype", "backend", "direction", "metric", "value", "unit", "status"}
KEYS |= {"device", "torch", "triton"}

no_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")


def race(**arguments: Any) -> list[Row]:
    return timing.race("cpu", ((300, 3),), turns=6, seconds=0.0, **arguments)


def of(rows: list[Row], **wanted: object) -> dict[object, Any]:
    """Values by metric of the rows that match."""
    chosen = [row for row in rows if wanted.items() <= row.items()]
    return {row["metric"]: row["value"] for row in chosen}


def statuses(rows: list[Row], backend: str) -> set[object]:
    return {row["status"] for row in rows if row["backend"] == backend}


def double_kl(
    mu: Tensor, log_var: Tensor, noise: Noise, num_samples: int = 1
) -> tuple[Tensor, Tensor]:
    z, kl = reparameterise_kl(mu, log_var, noise, num_samples)
    return z, 2.0 * kl


def test_race_measures_what_can_run() -> None:
    rows = race()
    assert all(row.keys() == KEYS for row in rows)
    assert statuses(rows, "eager") == statuses(rows, "reference") == {"measured"}
    assert statuses(rows, "compiled") == {"not measured: not asked for"}
    for backend in ("eager", "reference"):
        for direction in ("forward", "backward", "both"):
            found = of(rows, backend=backend, direction=direction)
            assert 0.0 < found["time_q20"] <= found["time_median"] <= found["time_q80"]
            gigabytes = found["traffic"] / 1e9
            assert found["bandwidth"] == pytest.approx(gigabytes / (found["time_median"] / 1e3))
            assert found["speedup_over_eager"] > 0.0
    assert of(rows, backend="eager", direction="both")["speedup_over_eager"] == 1.0


@no_cuda
def test_race_has_a_row_for_the_kernel_without_a_gpu() -> None:
    rows = [row for row in race() if row["backend"] == "triton"]
    assert {row["direction"] for row in rows} == {"forward", "backward", "both"}
    assert {row["status"] for row in rows} == {"not measured: no CUDA device"}
    assert {row["value"] for row in rows} == {None}


def test_a_backend_that_is_wrong_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(densities, "reparameterise_kl", double_kl)
    rows = race()
    (status,) = statuses(rows, "reference")
    assert str(status).startswith("not measured: gate failed: kl is off by")
    assert not of(rows, backend="reference", status="measured")
    assert statuses(rows, "eager") == {"measured"}


def test_a_compiler_that_fails_has_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> tuple[Tensor, Tensor]:
        raise RuntimeError("no C++ compiler found\nwith a long trace")

    monkeypatch.setattr(timing, "_compile_eager", lambda: fail)
    rows = race(compiled=True)
    assert statuses(rows, "compiled") == {"not measured: RuntimeError: no C++ compiler found"}
    assert statuses(rows, "eager") == {"measured"}


def test_backends_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Op] = []

    def sample(_: object, op: Op, *__: object) -> tuple[float, float]:
        seen.append(op)
        return 1.0, 2.0

    monkeypatch.setattr(timing, "_sample", sample)
    rows = race()
    turns = [set(seen[i : i + 2]) for i in range(0, len(seen), 2)]
    assert all(len(turn) == 2 for turn in turns)
    assert len(turns) == 1 + timing.LEAST_TURNS  # a warm-up, then no more: no time was given
    assert of(rows, backend="reference", direction="both")["time_median"] == 3.0


def test_race_leaves_the_threads_as_they_were() -> None:
    before = torch.get_num_threads()
    race()
    assert torch.get_num_threads() == before
