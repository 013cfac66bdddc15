"""What the kernels compile to for each kind of GPU: registers, memory, and the bytes they move."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

triton = pytest.importorskip("triton", reason="the kernels need triton, which is not installed")

import torch  # noqa: E402 (triton may be missing)
from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.backends.driver import DriverBase  # noqa: E402

from vaebench.ops.check.builds import (  # noqa: E402
    Build,
    builds,
    importance_builds,
    latent_builds,
    likelihood_builds,
)
from vaebench.ops.check.resources import TARGETS, accesses, compile_for, resources  # noqa: E402
from vaebench.ops.gpu import latent_kernels, latent_launch, launch  # noqa: E402

pytestmark = pytest.mark.skipif(
    os.environ.get("TRITON_INTERPRET") == "1", reason="TRITON_INTERPRET=1: kernels cannot compile"
)

REGISTERS = 64
"""A thread's budget: 8 programs fit on a multiprocessor of 65536, 8 waves on a SIMD of 512."""
REGISTERS_OF_MANY = 96
"""With a loop over samples."""
SHARED = 4096
"""Bytes a program may use to change layouts and to reduce."""

HEAVIEST = ("reparameterise_log_probs path backward", "discretised_logistic_log_prob backward")
WIDTHS = (16, 20, 32, 128)


def cases() -> Iterator[tuple[str, Build, int]]:
    """Target, kernel and columns: all kernels once for each target, and the other widths."""
    for target, dtype, pixels in (
        ("sm_90", "fp32", "fp32"),
        ("sm_90", "bf16", "u8"),
        ("gfx942", "fp32", "fp32"),
    ):
        for build in builds(64, dtype, pixels):
            yield target, build, 64
    for target in ("sm_80", "sm_100"):
        for build in builds(64):
            if build.op in ("reparameterise_kl", "importance_weights") or build.name in HEAVIEST:
                yield target, build, 64
    for columns in WIDTHS:
        for build in [*latent_builds(columns, "fp32"), *likelihood_builds(columns, "fp32", "fp32")]:
            if build.name in ("reparameterise_kl forward", *HEAVIEST):
                yield "sm_90", build, columns


def identity(case: tuple[str, Build, int]) -> str:
    target, build, columns = case
    kinds = "-".join(build.kinds.get(n, "").strip("*") for n in ("x_ptr", "a_ptr", "mu_ptr"))
    return f"{target}-{columns}-{kinds.strip('-')}-{build.name}"


def wide_bytes(build: Build, target: str) -> dict[int, int]:
    """What each width of accesses must move, per program: all by the widest that a tile allows.

    A thread owns elements / threads neighbours, and 16 bytes is the most that an access moves.
    """
    per_thread = build.elements // (build.num_warps * TARGETS[target].warp_size)
    moved: dict[int, int] = {}
    for name, kind in build.kinds.items():
        if not name.endswith("_ptr") or name in ROWS_ONLY:
            continue
        if (
            kind == "*fp32"
            and name in ("kl_ptr", "dkl_ptr", "b_ptr", "db_ptr")
            and not whole(build)
        ):
            continue
        size = {"*fp32": 4, "*bf16": 2, "*u8": 1}[kind]
        width = min(16, size * per_thread)
        moved[width] = moved.get(width, 0) + size * build.elements
    return moved


ROWS_ONLY = {"keys_ptr", "extra_ptr", "log_q_ptr", "log_p_ptr", "dq_ptr", "dp_ptr"}
ROWS_ONLY |= {"log_prob_ptr", "d_ptr", "bound_ptr", "ess_ptr", "dbound_ptr"}


def whole(build: Build) -> bool:
    """Whether kl, or a likelihood's second parameter, has one number per element."""
    return bool(build.constants.get("PER_DIMENSION") or build.constants.get("PER_PIXEL"))


@pytest.mark.slow
@pytest.mark.parametrize("case", list(cases()), ids=identity)
def test_code(case: tuple[str, Build, int]) -> None:
    target, build, _ = case
    kernel = compile_for(target, build)
    computed = resources(kernel)
    assert computed.registers <= REGISTERS
    assert computed.stack == computed.spills == computed.local == 0
    assert computed.shared <= SHARED
    assert not re.search(r"\b(?:atom|red)\.|\.f64\b", kernel.asm.get("ptx", ""))

    wide = wide_bytes(build, target)
    assert sum(wide.values()) == build.least_bytes * build.elements
    moved = accesses(kernel)
    scalar = {width: moved.pop(width) for width in list(moved) if width not in wide}
    assert moved == wide
    assert all(width in (4, 8) for width in scalar)  # numbers of rows, keys, the extra step


@pytest.mark.slow
@pytest.mark.parametrize("build", list(latent_builds(64, "fp32", None)), ids=lambda b: b.name)
def test_code_of_many_samples(build: Build) -> None:
    computed = resources(compile_for("sm_90", build))
    assert computed.registers <= REGISTERS_OF_MANY
    assert computed.stack == computed.spills == computed.local == 0


@pytest.mark.slow
@pytest.mark.parametrize("num_samples", [5, 1024, 5000])
def test_code_of_importance_weights(num_samples: int) -> None:
    """Up to 1024 samples in registers, which are more; beyond, a second reading."""
    build = next(importance_builds(num_samples))
    kernel = compile_for("sm_90", build)
    computed = resources(kernel)
    assert computed.registers <= 80
    assert computed.stack == computed.spills == computed.local == 0
    passes = 2 if num_samples <= 1024 else 4  # the loops read once more in their code
    assert accesses(kernel)[16] == passes * 4 * build.elements


def test_offsets_are_64_bits_wide() -> None:
    """A tensor may have more than 2^31 elements, which no test has the memory to show."""
    for build in builds(64):
        if build.direction == "forward" and "importance" not in build.op:
            build = replace(
                build,
                constants={k: v for k, v in build.constants.items() if k != "num_samples"},
                kinds={**build.kinds, "num_samples": "i32"},
            )
        code = compile_for("sm_90", build).asm["ttir"]
        offsets = re.findall(r"tt\.addptr .*, (?:tensor<[\dx]+x)?(i\d+)>? loc", code)
        assert len(offsets) == code.count("tt.addptr ") >= 3, build.name
        if "importance" in build.op:  # bound and size have one number per row: 2^31 rows
            offsets = [x for x in offsets if x != "i32"]
        assert set(offsets) == {"i64"}, build.name


def build_named(name: str, **changes: Any) -> Build:
    """A kernel of 64 columns with some constants changed."""
    (build,) = (b for b in builds(64) if b.name == name)
    elements = changes.get("ROWS", build.constants.get("ROWS")) * build.constants["BLOCK"]
    return replace(build, constants={**build.constants, **changes}, elements=elements)


def test_detectors_see_a_starved_kernel() -> None:
    computed = resources(compile_for("sm_90", build_named("reparameterise_kl forward"), maxnreg=24))
    assert computed.spills > 0 and computed.stack > 0 and computed.local > 0
    crowded = build_named("reparameterise_kl backward", ROWS=128)
    computed = resources(compile_for("gfx942", crowded, num_warps=1))
    assert computed.stack > 0 and computed.spills > 0 and computed.local > 0


@pytest.mark.parametrize("target", ["sm_90", "gfx942"])
def test_detectors_see_narrow_accesses(target: str) -> None:
    odd = build_named("reparameterise_kl forward", MU_STRIDE=131)
    moved = accesses(compile_for(target, odd))
    assert moved[16] == 8 * odd.elements  # mu is read in words
    assert moved[4] >= 4 * odd.elements


def test_detectors_see_a_tensor_read_twice() -> None:
    """A law that has no use for a tile that it is given."""
    twice = build_named("bernoulli_log_prob forward", PER_PIXEL=True, HAS_B=True, B_STRIDE=64)
    constants = {k: v for k, v in twice.constants.items() if k != "b_ptr"}
    law = next(b for b in builds(64) if b.name == "gaussian_log_prob forward").constants["LAW"]
    more = replace(
        twice, constants={**constants, "LAW": law}, kinds={**twice.kinds, "b_ptr": "*fp32"}
    )
    assert accesses(compile_for("sm_90", more))[16] > twice.least_bytes * twice.elements


class NoDevice(DriverBase):
    """Lets Triton choose specialisations, and compile, as it would for a launch on an H100."""

    def __init__(self) -> None:
        pass

    @staticmethod
    def is_active() -> bool:
        return True

    def get_current_target(self) -> GPUTarget:
        return TARGETS["sm_90"]

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0

    def map_python_to_cpp_type(self, ty: str) -> str:
        raise NotImplementedError

    def get_active_torch_device(self) -> torch.device:
        raise NotImplementedError

    def get_benchmarker(self) -> Any:
        raise NotImplementedError


def kernels_made(kernel: Any) -> int:
    """Kernels compiled for launches that differ in the counters and the number of rows."""
    mu = torch.empty(2, 3, 64)
    constants = latent_launch.constants(mu, mu) | {
        "KL": True, "PER_DIMENSION": False, "LOG_PROBS": False,
    }  # fmt: skip
    launches = [(0, 1, 0, 1), (1, 0, 1, 16), (16, 16, 16, 17), (2**31 + 5, 2**32 - 1, 3, 300)]
    data = [torch.float32] * 4 + [None] * 2 + [torch.int64] * 2
    made = [
        kernel.warmup(*data, *first, 2, rows, 1, rows, rows, grid=(1,), **constants)
        for *first, rows in launches
    ]
    return len({compiled.hash for compiled in made})


def test_counters_and_rows_compile_no_new_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton.runtime.driver, "_active", NoDevice())
    kernel = latent_kernels.forward
    assert kernels_made(triton.jit(kernel.fn, do_not_specialize=kernel.do_not_specialize)) == 1
    assert kernels_made(triton.jit(kernel.fn)) > 1


def test_tiles_are_of_one_size() -> None:
    assert all(build.elements == launch.TILE for build in latent_builds(20, "fp32"))
