"""The correctness gate: it passes what is right, and names what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from vaebench import kernels
from vaebench.densities import reparameterise_kl
from vaebench.kernels.gate import Case, gate
from vaebench.noise import Noise

KEYS = {"op", "size", "dtype", "backend", "direction", "metric", "value", "unit", "status"}
KEYS |= {"device", "torch", "triton"}
SHAPES = ((1, 3, 5, 2), (3, 2, 7, 20))


def test_gate_passes_the_reference() -> None:
    rows = gate("cpu", SHAPES)
    assert len(rows) == 4 * len(SHAPES)
    assert {row["status"] for row in rows} == {"passed"}
    assert {row["metric"] for row in rows} == {f"error_{q}" for q in ("z", "kl", "dmu", "dlog_var")}
    assert {row["size"] for row in rows} == {"1x3x5x2", "3x2x7x20"}
    assert all(row.keys() == KEYS for row in rows)
    assert all(0.0 <= row["value"] <= 1e-5 for row in rows)  # type: ignore[operator]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_gate_passes_the_kernel() -> None:
    assert {row["status"] for row in gate("cuda")} == {"passed"}


def double_kl(
    mu: Tensor, log_var: Tensor, noise: Noise, num_samples: int = 1
) -> tuple[Tensor, Tensor]:
    z, kl = reparameterise_kl(mu, log_var, noise, num_samples)
    return z, 2.0 * kl


def other_noise(
    mu: Tensor, log_var: Tensor, noise: Noise, num_samples: int = 1
) -> tuple[Tensor, Tensor]:
    return reparameterise_kl(mu, log_var, noise.at(row=1), num_samples)


def wrong_gradient(
    mu: Tensor, log_var: Tensor, noise: Noise, num_samples: int = 1
) -> tuple[Tensor, Tensor]:
    z, kl = reparameterise_kl(mu, log_var, noise, num_samples)
    return z, kl.detach() + 0.5 * (kl - kl.detach())


def not_a_number(
    mu: Tensor, log_var: Tensor, noise: Noise, num_samples: int = 1
) -> tuple[Tensor, Tensor]:
    z, kl = reparameterise_kl(mu, log_var, noise, num_samples)
    return z * torch.nan, kl


FAULTS = [
    (double_kl, {"error_kl", "error_dmu", "error_dlog_var"}),
    (other_noise, {"error_z", "error_dlog_var"}),
    (wrong_gradient, {"error_dmu", "error_dlog_var"}),
    (not_a_number, {"error_z", "error_dmu", "error_dlog_var"}),
]


@pytest.mark.parametrize("fault, caught", FAULTS)
def test_gate_catches(
    fault: Callable[..., Any], caught: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "reparameterise_kl", fault)
    rows = gate("cpu", SHAPES[1:])
    assert {row["metric"] for row in rows if row["status"] != "passed"} == caught


def test_gate_says_what_keeps_an_operation_from_running(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise ImportError("No module named 'triton'")

    monkeypatch.setattr(kernels, "reparameterise_kl", missing)
    rows = gate("cpu", SHAPES[:1])
    assert {row["status"] for row in rows} == {"failed: ImportError: No module named 'triton'"}
    assert {row["value"] for row in rows} == {None}


@pytest.mark.parametrize("num_samples, dtype", [(1, torch.float32), (3, torch.bfloat16)])
def test_traffic_counts_each_tensor_once(num_samples: int, dtype: torch.dtype) -> None:
    case = Case(num_samples, 2, 5, 20, dtype, torch.device("cpu"))
    mu, kl = torch.empty(2, 5, 20, dtype=dtype), torch.empty(2, 5)
    z = mu.expand(num_samples, *mu.shape)
    bytes_of = {"forward": [mu, mu, z, kl], "backward": [mu, mu, z, kl, mu, mu]}
    for direction, tensors in bytes_of.items():
        expected = sum(x.numel() * x.itemsize for x in tensors)
        assert case.traffic(direction) == expected
