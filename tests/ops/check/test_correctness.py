"""The check of correctness: it passes what is right, and names what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from vaebench import ops
from vaebench.ops import densities
from vaebench.ops.check.cases import OPERATIONS, Case, make_inputs
from vaebench.ops.check.correctness import check_operations, upstream_of
from vaebench.ops.noise import Noise

KEYS = {"op", "size", "dtype", "backend", "direction", "metric", "value", "unit", "status"}
KEYS |= {"device", "torch", "triton"}
SHAPES = ((1, 3, 5, 2), (3, 2, 7, 20))


@pytest.mark.parametrize("op", OPERATIONS)
def test_gate_passes_what_runs_here(op: str) -> None:
    rows = check_operations("cpu", SHAPES, [op])
    operation = OPERATIONS[op]
    names = {*operation.results, *operation.gradients}
    assert len(rows) == len(names) * len(SHAPES)
    assert {row["status"] for row in rows} == {"passed"}
    assert {row["metric"] for row in rows} == {f"error_{name}" for name in names}
    assert {row["size"] for row in rows} == {"1x3x5x2", "3x2x7x20"}
    assert all(row.keys() == KEYS for row in rows)
    assert all(0.0 <= row["value"] <= 1e-5 for row in rows)  # type: ignore[operator]


def test_every_public_operation_has_its_case() -> None:
    assert {op.split(" ")[0] for op in OPERATIONS} == set(ops.OPERATIONS)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_gate_passes_the_kernels() -> None:
    assert {row["status"] for row in check_operations("cuda")} == {"passed"}


def latent_fault(change: Callable[..., Any], name: str) -> Callable[..., Any]:
    def fault(mu: Tensor, log_var: Tensor, noise: Noise, K: int = 1, **options: bool) -> Any:
        return change(*getattr(densities, name)(mu, log_var, noise, K, **options))

    return fault


def half_gradient(x: Tensor) -> Tensor:
    return x.detach() + 0.5 * (x - x.detach())


KL, PROBS = "reparameterise_kl", "reparameterise_log_probs"
FAULTS: list[tuple[str, str, Callable[..., Any], set[str]]] = [
    (KL, KL, latent_fault(lambda z, kl: (z, 2.0 * kl), KL), {"kl", "dmu", "dlog_var"}),
    (KL, KL, latent_fault(lambda z, kl: (z, half_gradient(kl)), KL), {"dmu", "dlog_var"}),
    (KL, KL, latent_fault(lambda z, kl: (z * torch.nan, kl), KL), {"z", "dmu", "dlog_var"}),
    (
        KL,
        KL,
        lambda mu, log_var, noise, K: densities.reparameterise_kl(mu, log_var, noise.at(row=1), K),
        {"z", "dlog_var"},
    ),
    (
        f"{PROBS} path",
        PROBS,
        lambda *inputs, path: densities.reparameterise_log_probs(*inputs),
        {"dmu", "dlog_var"},
    ),
    (
        PROBS,
        PROBS,
        latent_fault(lambda z, q, p: (z, q, half_gradient(p)), PROBS),
        {"dmu", "dlog_var"},
    ),
    (
        "importance_weights",
        "importance_weights",
        lambda log_w: (log_w.logsumexp(0), *densities.importance_weights(log_w)[1:]),
        {"log_mean_exp"},
    ),
    (
        "gaussian_log_prob",
        "gaussian_log_prob",
        lambda x, mu, log_var: densities.gaussian_log_prob(x, mu, half_gradient(log_var)),
        {"d_parameter_2"},
    ),
    (
        "bernoulli_log_prob",
        "bernoulli_log_prob",
        lambda x, logits: densities.bernoulli_log_prob(1.0 - x, logits),
        {"log_prob", "d_parameter_1"},
    ),
]  # fmt: skip


@pytest.mark.parametrize("case, op, fault, caught", FAULTS)
def test_gate_catches(
    case: str, op: str, fault: Any, caught: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ops, op, fault)
    rows = check_operations("cpu", SHAPES[1:], [case])
    wrong = {row["metric"] for row in rows if row["status"] != "passed"}
    assert wrong == {f"error_{name}" for name in caught}


def test_gate_says_what_keeps_an_operation_from_running(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise ImportError("No module named 'triton'")

    monkeypatch.setattr(ops, "reparameterise_kl", missing)
    rows = check_operations("cpu", SHAPES[:1], ["reparameterise_kl"])
    assert {row["status"] for row in rows} == {"failed: ImportError: No module named 'triton'"}
    assert {row["value"] for row in rows} == {None}


def size(x: Tensor) -> int:
    return x.numel() * x.itemsize


@pytest.mark.parametrize("num_samples, dtype", [(1, torch.float32), (3, torch.bfloat16)])
@pytest.mark.parametrize("op", OPERATIONS)
def test_traffic_counts_each_tensor_once(op: str, num_samples: int, dtype: torch.dtype) -> None:
    """Forward what goes in and comes out; backward the inputs again, and what a gradient has."""
    case = Case(op, num_samples, 2, 5, 20, dtype, torch.device("cpu"))
    inputs = make_inputs(case)
    results = case.operation.formula(inputs, torch.zeros(num_samples, 2, 5, 20, dtype=dtype))
    upstream = upstream_of(case, results)

    def floats(x: Tensor) -> int:
        """Bytes of a tensor that a kernel keeps in float32: all but z and weights."""
        return 4 * x.numel()

    wide = {"z", "weights"}
    out = [
        size(x) if name in wide else floats(x)
        for name, x in zip(case.operation.results, results, strict=True)
    ]
    back = out[: len(upstream)]
    ins = [size(x) for x in inputs]
    leaves = [size(x) for x in inputs[case.operation.num_fixed :]]
    if op == "gaussian_log_prob per row":  # one float32 for each row of each sample
        ins[2] = leaves[1] = 4 * num_samples * 10
    assert case.traffic("forward") == sum(ins) + sum(out)
    assert case.traffic("backward") == sum(ins) + sum(back) + sum(leaves)
