"""What the kernels compile to, found without a GPU: registers, spills, bytes moved.

Compilation needs triton without TRITON_INTERPRET, and no device.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia.compiler import get_ptxas
from triton.compiler import ASTSource

from vaebench.ops.check.builds import Build, builds
from vaebench.ops.check.correctness import Row, environment_of

TARGETS = {f"sm_{arch}": GPUTarget("cuda", arch, 32) for arch in (80, 90, 100)}
TARGETS["gfx942"] = GPUTarget("hip", "gfx942", 64)


@dataclass(frozen=True)
class Resources:
    """What one compiled kernel uses: bytes for each thread, where not said otherwise."""

    registers: int
    """Per thread: a number."""
    stack: int
    spills: int
    local: int
    """Instructions that access local memory."""
    shared: int
    """Per program."""


def compile_for(target: str, build: Build, **options: Any) -> Any:
    """The kernel for a target; every pointer is taken to be 16-byte aligned, and every number but
    those that must not be specialised to be a multiple of 16."""
    function, constants = build.function, build.constants
    numbers = {p.name for p in function.params if not p.do_not_specialize}
    source = ASTSource(
        fn=function,
        constexprs=dict(constants),
        signature={n: build.kinds.get(n, "constexpr") for n in function.arg_names},
        attrs={
            (i,): [["tt.divisibility", 16]]
            for i, name in enumerate(function.arg_names)
            if name in build.kinds and name in numbers
        },
    )
    options = {"num_warps": build.num_warps, **options}
    return triton.compile(source, target=TARGETS[target], options=options)


def resources(kernel: Any) -> Resources:
    """What the assembler reports, and the local accesses in the machine code."""
    if "amdgcn" in kernel.asm:
        return _amd_resources(kernel)
    log = _assembler_log(kernel)
    return Resources(
        registers=_number(r"Used (\d+) registers", log),
        stack=_number(r"(\d+) bytes stack frame", log),
        spills=_number(r"(\d+) bytes spill stores", log) + _number(r"(\d+) bytes spill loads", log),
        local=len(re.findall(r"\b(?:LDL|STL)\b", kernel.asm["sass"])),
        shared=kernel.metadata.shared,
    )


def _amd_resources(kernel: Any) -> Resources:
    code = kernel.asm["amdgcn"]
    spilled = sum(_number(rf"\.{kind}gpr_spill_count:\s+(\d+)", code) for kind in "vs")
    return Resources(
        registers=_number(r"\.vgpr_count:\s+(\d+)", code),
        stack=_number(r"\.private_segment_fixed_size:\s+(\d+)", code),
        spills=4 * spilled,
        local=len(re.findall(r"\bscratch_(?:load|store)", code)),
        shared=kernel.metadata.shared,
    )


def _assembler_log(kernel: Any) -> str:
    target = re.search(r"\.target\s+(sm_\w+)", kernel.asm["ptx"])
    assert target, "PTX names its target"
    assembler = get_ptxas(kernel.metadata.target.arch).path
    with tempfile.TemporaryDirectory() as folder:
        ptx = Path(folder) / "kernel.ptx"
        ptx.write_text(kernel.asm["ptx"])
        command = [assembler, "-v", f"--gpu-name={target[1]}", ptx, "-o", ptx.with_suffix(".o")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stderr


def _number(pattern: str, text: str) -> int:
    match = re.search(pattern, text)
    if match is None:
        raise LookupError(f"the compiler reported no {pattern!r}")
    return int(match[1])


def accesses(kernel: Any) -> dict[int, int]:
    """Bytes that one program moves by global accesses of each width in bytes: {16: 12288, 4: 64}.

    Scalar ones count as if every thread made them; the repeated number of a row is among them.
    """
    threads = kernel.metadata.target.warp_size * kernel.metadata.num_warps
    moved: dict[int, int] = {}
    for width in _widths(kernel):
        moved[width] = moved.get(width, 0) + width * threads
    return moved


def _widths(kernel: Any) -> list[int]:
    """Width in bytes of each load and store of global memory in the code."""
    if "amdgcn" in kernel.asm:
        names = re.findall(r"\b(?:global|buffer)_(?:load|store)_(\w+)", kernel.asm["amdgcn"])
        return [AMD_WIDTHS[name.split("_d16")[0]] for name in names]
    pattern = r"\b(?:ld|st)\.global(?:\.\w+)*?(?:\.v(\d))?\.[bfsu](\d+)"
    widths = re.findall(pattern, kernel.asm["ptx"])
    return [int(count or 1) * int(bits) // 8 for count, bits in widths]


AMD_WIDTHS = {f"dwordx{n}": 4 * n for n in (2, 3, 4)} | {
    "dword": 4, "short": 2, "ushort": 2, "sshort": 2, "byte": 1, "ubyte": 1, "sbyte": 1,
}  # fmt: skip


def compiled_rows(target: str = "sm_90", num_columns: int = 64) -> list[Row]:
    """What each kernel compiles to for a kind of GPU, and its bytes: as long rows."""
    rows: list[Row] = []
    for build in builds(num_columns):
        kernel = compile_for(target, build)
        used, moved = resources(kernel), accesses(kernel)
        per_element = sum(n for width, n in moved.items() if width == max(moved)) / build.elements
        values: list[tuple[str, float, str]] = [
            ("registers", used.registers, "1"),
            ("spills", used.spills, "B"),
            ("local_accesses", used.local, "1"),
            ("bytes_moved", per_element, "B per element"),
            ("least_bytes", build.least_bytes, "B per element"),
        ]
        rows += [_row(target, build, num_columns, *value) for value in values]
    return rows


def _row(target: str, build: Build, num_columns: int, metric: str, value: float, unit: str) -> Row:
    return {
        "op": build.op,
        "size": f"rows of {num_columns}",
        "dtype": "float32",
        "backend": "triton",
        "direction": build.direction,
        "metric": metric,
        "value": float(value),
        "unit": unit,
        "status": "compiled, not measured on a GPU",
        **environment_of(torch.device("cpu")),
        "device": target,
    }
