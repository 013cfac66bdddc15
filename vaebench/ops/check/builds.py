"""Every kernel as it is launched for one size and dtype, with the least bytes that it must move.

For compilation ahead of time, which needs no GPU: see `resources`.
"""

# mypy: allow-untyped-decorators

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vaebench.ops.gpu import (
    importance_kernels,
    importance_launch,
    latent_kernels,
    launch,
    likelihood_kernels,
    likelihood_launch,
)

BYTES = {"fp32": 4, "bf16": 2, "fp16": 2, "u8": 1}
SAMPLES_OF_IMPORTANCE = 50

FP32 = (
    *("kl_ptr", "dkl_ptr", "log_q_ptr", "log_p_ptr", "dq_ptr", "dp_ptr"),
    *("log_prob_ptr", "d_ptr", "bound_ptr", "ess_ptr", "dbound_ptr"),
)
KINDS = {
    **dict.fromkeys(FP32, "*fp32"),
    **dict.fromkeys(("keys_ptr", "extra_ptr"), "*i64"),
    **dict.fromkeys(("step", "first_sample", "first_row"), "u32"),
}
"""Triton's types of the arguments that do not follow the dtype of the data."""

LATENT = {
    "reparameterise_kl": {"KL": True},
    "reparameterise_kl_per_dimension": {"KL": True, "PER_DIMENSION": True},
    "reparameterise_log_probs": {"LOG_PROBS": True},
    "reparameterise_log_probs path": {"LOG_PROBS": True, "PATH": True},
}
LIKELIHOODS = {
    "bernoulli_log_prob": ("bernoulli", 0),
    "gaussian_log_prob": ("gaussian", 2),
    "gaussian_log_prob per row": ("gaussian", 1),
    "continuous_bernoulli_log_prob": ("continuous_bernoulli", 0),
    "discretised_logistic_log_prob": ("discretised_logistic", 2),
}
"""Law, and how its second parameter comes: 0 not at all, 1 per row, 2 per pixel."""


@dataclass(frozen=True)
class Build:
    """One kernel with what it is compiled for."""

    op: str
    direction: str
    function: Any
    constants: Mapping[str, Any]
    kinds: Mapping[str, str]
    """Triton's type of each argument at run time."""
    elements: int
    """Elements of one program's tile."""
    least_bytes: int
    """Per element, without what is one number per row."""
    num_warps: int = launch.NUM_WARPS

    @property
    def name(self) -> str:
        return f"{self.op} {self.direction}"


def builds(num_columns: int = 64, dtype: str = "fp32", pixels: str = "fp32") -> Iterator[Build]:
    """Every kernel at K = 1 for rows of `num_columns`, mu and log_var halves of a chunk."""
    yield from latent_builds(num_columns, dtype)
    yield from likelihood_builds(num_columns, dtype, pixels)
    yield from importance_builds(dtype=dtype)


def latent_builds(
    num_columns: int, dtype: str, num_samples: int | None = 1, **changes: Any
) -> Iterator[Build]:
    """The kernels of the latent step. num_samples None: as a variable of the kernel."""
    known = {
        "D": num_columns, "MU_STRIDE": 2 * num_columns, "LOG_VAR_STRIDE": 2 * num_columns,
        "DZ_STRIDE": num_columns, "KL": False, "PER_DIMENSION": False, "LOG_PROBS": False,
        "PATH": False, **launch.tile(num_columns),
    }  # fmt: skip
    known |= {} if num_samples is None else {"num_samples": num_samples}
    samples = num_samples or 1
    for op, flags in LATENT.items():
        of_kl, of_densities = FP32[:2], FP32[2:6]
        unused = of_kl if "LOG_PROBS" in flags else of_densities
        constants = known | dict.fromkeys(unused) | flags | changes
        extra = 4 if "PER_DIMENSION" in flags else 0
        size = BYTES[dtype]
        if "PATH" not in flags:
            least = (2 + samples) * size + extra
            yield _build(op, "forward", latent_kernels.forward, constants, dtype, {}, least)
        least = (4 + samples) * size + extra
        yield _build(op, "backward", latent_kernels.backward, constants, dtype, {}, least)


def likelihood_builds(num_columns: int, dtype: str, pixels: str, **changes: Any) -> Iterator[Build]:
    """The kernels of the likelihoods, for pixels of their own dtype."""
    for op, (law, b) in LIKELIHOODS.items():
        known = {
            "P": num_columns, "X_STRIDE": num_columns, "A_STRIDE": num_columns,
            "B_STRIDE": num_columns if b == 2 else 0, "HAS_B": b > 0, "PER_PIXEL": b == 2,
            "IS_LEVEL": pixels == "u8" and law != "bernoulli", "num_samples": 1,
            **launch.tile(num_columns), **({} if b else {"b_ptr": None, "db_ptr": None}), **changes,
        }  # fmt: skip
        kinds = {"x_ptr": f"*{pixels}", **({"b_ptr": "*fp32", "db_ptr": "*fp32"} if b == 1 else {})}
        size, read = BYTES[dtype], BYTES[pixels]
        per_pixel = 2 if b == 2 else 1
        for direction, function, passes in (
            ("forward", likelihood_kernels.forward, 1),
            ("backward", likelihood_kernels.backward, 2),
        ):
            which = likelihood_launch.LAWS[law][passes - 1]
            least = passes * per_pixel * size + read
            yield _build(op, direction, function, known | {"LAW": which}, dtype, kinds, least)


def importance_builds(
    num_samples: int = SAMPLES_OF_IMPORTANCE, dtype: str = "fp32"
) -> Iterator[Build]:
    """The kernels of importance weighting, [S, B] a multiple of 16."""
    tile = importance_launch.tile(num_samples)
    held = {"HOLDS_ALL": num_samples <= importance_launch.REACH}
    yield _build(
        "importance_weights", "forward", importance_kernels.forward, tile | held, dtype, {},
        2 * BYTES[dtype], num_warps=tile["num_warps"],
    )  # fmt: skip
    yield _build(
        "importance_weights", "backward", importance_kernels.backward,
        importance_launch.BACKWARD_TILE, dtype, {}, 2 * BYTES[dtype],
    )  # fmt: skip


def _build(
    op: str,
    direction: str,
    function: Any,
    known: Mapping[str, Any],
    dtype: str,
    kinds: Mapping[str, str],
    least_bytes: int,
    num_warps: int = launch.NUM_WARPS,
) -> Build:
    constants = {name: known[name] for name in function.arg_names if name in known}
    types = {
        name: {**KINDS, **kinds}.get(name, f"*{dtype}" if name.endswith("_ptr") else "i32")
        for name in function.arg_names
        if name not in constants
    }
    elements = known.get("ROWS", 1) * known.get("BLOCK", known.get("SAMPLES", 1))
    return Build(
        op, direction, function, constants, types, elements, least_bytes, num_warps
    )  # fmt: skip
