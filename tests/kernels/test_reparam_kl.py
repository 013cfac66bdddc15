"""The fused kernel: its results under Triton's interpreter, and what it compiles to."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

triton = pytest.importorskip("triton", reason="the kernels need triton, which is not installed")

import torch  # noqa: E402 (triton may be missing)
from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.backends.driver import DriverBase  # noqa: E402
from triton.backends.nvidia.compiler import get_ptxas  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402

from vaebench.kernels import reparam_kl  # noqa: E402

ROOT = Path(__file__).parents[2]

compiles = pytest.mark.skipif(
    os.environ.get("TRITON_INTERPRET") == "1", reason="TRITON_INTERPRET=1: kernels cannot compile"
)


def test_results_under_the_interpreter() -> None:
    """All of interpreted.py, in one process of its own."""
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    environment.pop("PYTEST_ADDOPTS", None)
    tests = Path(__file__).with_name("interpreted.py")
    command = [sys.executable, "-m", "pytest", "-v", "-o", "addopts=", "-p", "no:cacheprovider"]
    run = subprocess.run(
        [*command, tests], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    if run.returncode != 0 or "passed" not in run.stdout:
        pytest.fail(f"{tests.name} failed:\n{run.stdout}\n{run.stderr}", pytrace=False)


TARGETS = {f"sm_{arch}": GPUTarget("cuda", arch, 32) for arch in (80, 90, 100)}
TARGETS["gfx942"] = GPUTarget("hip", "gfx942", 64)
KERNELS = {"forward": reparam_kl._forward, "backward": reparam_kl._backward}
BYTES = {"fp32": 4, "bf16": 2}
TENSORS = {"forward": 3, "backward": 5}  # read or written, each once, at K = 1


def compile_for(
    target: str, direction: str, dtype: str, *, num_samples: int | None = 1, **changes: int
) -> Any:
    """The kernel for aligned halves of 64 columns, K = 1; `changes` to its constants or options."""
    kernel = KERNELS[direction]
    D = changes.pop("D", 64)
    known = {"D": D, "MU_STRIDE": 2 * D, "LOG_VAR_STRIDE": 2 * D, **reparam_kl.tile(D)}
    constants = {p.name: known[p.name] for p in kernel.params if p.is_constexpr}
    constants |= {} if num_samples is None else {"num_samples": num_samples}
    constants |= {name: changes.pop(name) for name in list(changes) if name in constants}
    source = ASTSource(
        fn=kernel,
        constexprs=constants,
        signature={n: "constexpr" if n in constants else kind(n, dtype) for n in kernel.arg_names},
        attrs={
            (i,): [["tt.divisibility", 16]]
            for i, name in enumerate(kernel.arg_names)
            if name.endswith("_ptr")
        },
    )
    options = {"num_warps": reparam_kl.NUM_WARPS, **changes}
    return triton.compile(source, target=TARGETS[target], options=options)


def kind(argument: str, dtype: str) -> str:
    """Triton's name for the type of a kernel's argument."""
    known = {"keys_ptr": "*i64", "kl_ptr": "*fp32", "dkl_ptr": "*fp32"}
    counters = dict.fromkeys(("step", "first_sample", "first_row"), "u32")
    return {**known, **counters}.get(argument, f"*{dtype}" if argument.endswith("_ptr") else "i32")


def resources(kernel: Any, directory: Path) -> dict[str, int]:
    """What ptxas reports, and the accesses to local memory in the machine code."""
    ptx = directory / "kernel.ptx"
    ptx.write_text(kernel.asm["ptx"])
    target = re.search(r"\.target\s+(sm_\w+)", kernel.asm["ptx"])
    assert target
    assembler = get_ptxas(kernel.metadata.target.arch).path
    command = [assembler, "-v", f"--gpu-name={target[1]}", ptx, "-o", directory / "kernel.o"]
    log = subprocess.run(command, capture_output=True, text=True, check=True).stderr

    def number(pattern: str) -> int:
        found = re.search(pattern, log)
        assert found, f"ptxas reported no {pattern!r}:\n{log}"
        return int(found[1])

    return {
        "registers": number(r"Used (\d+) registers"),
        "stack": number(r"(\d+) bytes stack frame"),
        "spills": number(r"(\d+) bytes spill stores") + number(r"(\d+) bytes spill loads"),
        "local": len(re.findall(r"\b(?:LDL|STL)\b", kernel.asm["sass"])),
    }


def accesses(kernel: Any) -> dict[str, int]:
    """Bytes per element of a tile that each kind of access moves, of vectors: {"v4.b32": 12}."""
    threads = 32 * kernel.metadata.num_warps
    moved: dict[str, int] = {}
    for count, bits in re.findall(r"\b(?:ld|st)\.global\.v(\d)\.b(\d+)", kernel.asm["ptx"]):
        name = f"v{count}.b{bits}"
        moved[name] = moved.get(name, 0) + int(count) * int(bits) // 8 * threads
    return {name: total // reparam_kl.TILE for name, total in moved.items()}


def scalars(kernel: Any) -> int:
    """Accesses that are no vectors: the key, and kl or dkl."""
    return len(re.findall(r"\b(?:ld|st)\.global\.b\d+", kernel.asm["ptx"]))


NVIDIA = [
    *(("sm_90", direction, dtype, D) for direction in KERNELS for dtype in BYTES for D in (64, 20)),
    *((target, direction, "fp32", 64) for target in ("sm_80", "sm_100") for direction in KERNELS),
]


@compiles
@pytest.mark.parametrize("target, direction, dtype, D", NVIDIA, ids=str)
def test_nvidia_code(target: GPUTarget, direction: str, dtype: str, D: int, tmp_path: Path) -> None:
    kernel = compile_for(target, direction, dtype, D=D)
    found = resources(kernel, tmp_path)
    assert found["registers"] <= 64  # 8 programs fit on a multiprocessor of 65536 registers
    assert found["stack"] == found["spills"] == found["local"] == 0
    assert kernel.metadata.shared <= 2048
    assert not re.search(r"\b(?:atom|red)\.|\.f64\b", kernel.asm["ptx"])
    width = "v2.b32" if (dtype, D) == ("bf16", 20) else "v4.b32"  # rows of 40 bytes allow 8
    assert accesses(kernel) == {width: TENSORS[direction] * BYTES[dtype]}
    assert scalars(kernel) <= 3


@compiles
@pytest.mark.parametrize("direction", KERNELS)
def test_offsets_are_64_bits_wide(direction: str) -> None:
    """A tensor may have more than 2^31 elements, which no test has the memory to show."""
    code = compile_for("sm_90", direction, "fp32", num_samples=None).asm["ttir"]
    offsets = re.findall(r"tt\.addptr .*, (?:tensor<[\dx]+x)?(i\d+)>? loc", code)
    assert len(offsets) == code.count("tt.addptr ") >= 5
    assert set(offsets) == {"i64"}


@compiles
@pytest.mark.parametrize("direction", KERNELS)
def test_nvidia_code_of_many_samples(direction: str, tmp_path: Path) -> None:
    found = resources(compile_for("sm_90", direction, "fp32", num_samples=None), tmp_path)
    assert found["registers"] <= 96
    assert found["stack"] == found["spills"] == found["local"] == 0


@compiles
@pytest.mark.parametrize("dtype", BYTES)
@pytest.mark.parametrize("direction", KERNELS)
def test_amd_code(direction: str, dtype: str) -> None:
    code = compile_for("gfx942", direction, dtype).asm["amdgcn"]
    assert amd_memory(code) == {"private": 0, "vgpr_spill": 0, "sgpr_spill": 0}
    registers = re.search(r"\.vgpr_count:\s+(\d+)", code)
    assert registers and int(registers[1]) <= 64  # 8 waves on a SIMD of 512 registers
    words = {"fp32": "dwordx4", "bf16": "dwordx2"}[dtype]
    wide = re.findall(rf"\bglobal_(?:load|store)_{words}\b", code)
    threads = TARGETS["gfx942"].warp_size * reparam_kl.NUM_WARPS
    assert len(wide) * 4 * int(words[-1]) * threads == (
        TENSORS[direction] * BYTES[dtype] * reparam_kl.TILE
    )


def amd_memory(code: str) -> dict[str, int]:
    """Bytes of scratch memory and registers spilled to it."""
    fields = {
        "private": r"\.private_segment_fixed_size:\s+(\d+)",
        "vgpr_spill": r"\.vgpr_spill_count:\s+(\d+)",
        "sgpr_spill": r"\.sgpr_spill_count:\s+(\d+)",
    }
    found = {name: re.search(pattern, code) for name, pattern in fields.items()}
    return {name: int(match[1]) for name, match in found.items() if match}


@compiles
def test_detectors_see_a_starved_kernel(tmp_path: Path) -> None:
    found = resources(compile_for("sm_90", "forward", "fp32", maxnreg=24), tmp_path)
    assert found["spills"] > 0 and found["stack"] > 0 and found["local"] > 0
    crowded = compile_for("gfx942", "backward", "fp32", ROWS=128, num_warps=1)
    found = amd_memory(crowded.asm["amdgcn"])
    assert found["private"] > 0 and found["vgpr_spill"] > 0


@compiles
def test_detectors_see_narrow_accesses() -> None:
    odd = compile_for("sm_90", "forward", "fp32", MU_STRIDE=131)
    assert accesses(odd) == {"v4.b32": 8}  # mu is read in words
    assert scalars(odd) > 3
    odd = compile_for("gfx942", "forward", "fp32", MU_STRIDE=131)
    assert len(re.findall(r"\bglobal_(?:load|store)_dwordx4\b", odd.asm["amdgcn"])) == 2


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
    constants = reparam_kl._constants(mu, mu)
    launches = [(0, 1, 0, 1), (1, 0, 1, 16), (16, 16, 16, 17), (2**31 + 5, 2**32 - 1, 3, 300)]
    types = [torch.float32] * 4 + [torch.int64]
    made = [kernel.warmup(*types, *launch, 1, grid=(1,), **constants) for launch in launches]
    return len({compiled.hash for compiled in made})


@compiles
def test_counters_and_rows_compile_no_new_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton.runtime.driver, "_active", NoDevice())
    kernel = reparam_kl._forward
    assert kernels_made(triton.jit(kernel.fn, do_not_specialize=kernel.do_not_specialize)) == 1
    assert kernels_made(triton.jit(kernel.fn)) > 1
