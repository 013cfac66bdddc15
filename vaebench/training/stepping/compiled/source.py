"""From the trace of a step to a library: C++ by PyTorch's inductor, made one by g++.

Inductor's own way from its C++ to a library compiles some 1,700 lines that a step has no use for,
and the headers that they need. Loops and step are taken; ops/c/graph_*.hpp stand for the rest.
"""

from __future__ import annotations

import contextlib
import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from vaebench.core import collector
from vaebench.ops.c import build
from vaebench.ops.c.block import TYPES
from vaebench.training.stepping.compiled.indices import quick_indices
from vaebench.training.stepping.compiled.names import bytes_of, compiler
from vaebench.training.stepping.compiled.trace import Trace, product_operation

HEADERS = Path(build.__file__).parent
FLAGS = (
    *("-std=c++17", "-march=native", "-fPIC", "-fopenmp-simd", "-w"),
    *("-ffp-contract=off", "-fno-trapping-math", "-fexcess-precision=fast"),
    "-DC10_USING_CUSTOM_GENERATED_MACROS",
)
OF_LOOPS = "-O3", "-fno-tree-loop-vectorize"  # they are written as vectors
OF_STEP = ("-O1",)  # calls, one after another
PRODUCT = (
    "AOTITorchError aoti_torch_cpu_product(AtenTensorHandle, AtenTensorHandle, AtenTensorHandle*)"
)
"""The function of ops/c/graph_*.hpp for the products of a graph, as PyTorch declares it."""
OWN = {"aoti_torch_cpu_product", "aoti_torch_empty_strided", "aoti_torch_new_tensor_handle"}
"""The functions that graph_by_memory.hpp has."""
PROXY = "aoti_torch_proxy_executor_call_function"
"""The function that a graph calls for an operation that has no C, and that needs Python."""
KERNEL_NAMES = (
    "#include <torch/csrc/inductor/aoti_runtime/kernel_context_tls.h>",
    "namespace torch::aot_inductor { thread_local KernelContext *tls_kernel_context = nullptr; }",
)
"""What a step needs that names its loops to PyTorch's profiler."""
NAME = "AOTInductorModel::run_impl"
BODY = re.compile(rf"^void {NAME}\(.*^\}} // {NAME}", re.MULTILINE | re.DOTALL)
DECLARED = re.compile(r'^extern "C"  void  cpp_[^;{]*;|^CACHE_TORCH_\w+\(\w+\);', re.MULTILINE)
CALLED = re.compile(r"\baoti_torch_\w+(?=\()")
"""What is looked for in the C++ around the loops: the step, the names of the loops and types in it,
and what it calls."""


@dataclass(frozen=True)
class Lowered:
    """What inductor makes of a trace: text of C++, and the numbers that are part of it."""

    loops: str
    declared: str
    """The names of loops and types that the step uses."""
    step: str
    """The function that calls the loops one after another."""
    macros: tuple[str, ...]
    """Definitions for the compiler: which vectors the loops are written for."""
    constants: tuple[Tensor, ...]


def compile_trace(trace: Trace, path: Path) -> None:
    """Write the library of a traced step to a path in a folder of its own.

    Raises RuntimeError where it would call Python, which is not there in C, BuildError where the
    compiler fails.
    """
    _build(_lowered(trace), trace, path)


def _build(lowered: Lowered, trace: Trace, path: Path) -> None:
    loops, step = (path.with_name(f"{name}.cpp") for name in ("loops", "step"))
    loops.write_text(lowered.loops)
    step.write_text("\n".join(_step(lowered, trace, path.parent)))
    macros = (f"-D{macro}" for macro in lowered.macros)
    command = [*compiler(), *FLAGS, *macros, *_headers(), "-c"]
    with ThreadPoolExecutor(2) as side_by_side:
        sources = ([*OF_LOOPS, str(loops)], [*OF_STEP, str(step)])
        commands = ([*command, *one, "-o", f"{one[-1]}.o"] for one in sources)
        list(side_by_side.map(build.run, commands))
    objects = f"{loops}.o", f"{step}.o"
    build.run([*compiler(), "-shared", *objects, "-o", str(path), *_libraries()])


# ------------------------------------------------------------------ by inductor


def _lowered(trace: Trace) -> Lowered:
    with collector.paused(), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's own code is deprecated in places
        quick = quick_indices()
        with quick, _inductor_gives_text() as steps, _operations_without_c() as missing:
            torch._inductor.aot_compile(trace.graph, tuple(trace.example), options=options())
    (lowered,) = steps
    if PROXY in lowered.step:
        names = ", ".join(missing) or "one of its operations"
        raise RuntimeError(f"PyTorch's compiler has no function in C for {names}")
    return lowered


def options() -> dict[str, Any]:
    """What inductor is told of a graph."""
    return {
        "aot_inductor.custom_ops_to_c_shims": {product_operation(): [PRODUCT]},
        # Copies to and from channels last cost more than they gain: of resnet at 32x32x3, B=64, a
        # step takes 24.6 ms without them and 29.6 with, of convolutions at 28x28 as long.
        "layout_optimization": False,
        "cpp.threads": 1,  # runs are what is done side by side
        "cpp.vec_isa_ok": True,  # see _inductor_gives_text
        "pattern_matcher": False,  # attention and the like: setting it up takes 1 s
    }


@contextlib.contextmanager
def _inductor_gives_text() -> Iterator[list[Lowered]]:
    """Within this context inductor compiles nothing: what it has made is put in the list.

    Nor does it try by compiling which vectors the processor has, in 7 s: PyTorch itself knows.
    """
    from torch._inductor import codecache, cpu_vec_isa  # 1 s, and few runs compile

    steps: list[Lowered] = []

    def keep(graph: Any, wrapper: str, loops: str, *_: object, **__: object) -> str:
        constants = tuple(map(graph.get_original_value_of_constant, graph.constants))
        macros = tuple(cpu_vec_isa.pick_vec_isa().build_macro())
        step = BODY.search(wrapper)
        if step is None:
            raise RuntimeError("PyTorch's compiler gives no function for the step")
        declared = "\n".join(DECLARED.findall(wrapper))
        steps.append(Lowered(loops, declared, step[0], macros, constants))
        return ""

    known = {"AVX512": cpu_vec_isa.VecAVX512, "AVX2": cpu_vec_isa.VecAVX2}
    vectors = known.get(torch.backends.cpu.get_cpu_capability())
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(codecache.AotCodeCompiler, "compile", keep))
        if vectors:
            one = [vectors()]
            stack.enter_context(mock.patch.object(cpu_vec_isa, "valid_vec_isa_list", lambda: one))
            stack.enter_context(mock.patch.object(vectors, "check_build", lambda *_: True))
        yield steps


@contextlib.contextmanager
def _operations_without_c() -> Iterator[list[str]]:
    """The names of operations without a function in C; inductor's warnings are held back."""
    names: list[str] = []

    def is_shown(record: logging.LogRecord) -> bool:
        if "missing a c-shim" not in str(record.msg):
            return True
        names.extend(name for name in map(str, record.args or ()) if name not in names)
        return False

    log = logging.getLogger("torch._inductor.ir")
    log.addFilter(is_shown)
    try:
        yield names
    finally:
        log.removeFilter(is_shown)


# ------------------------------------------------------------------ C++ around the loops


def _step(lowered: Lowered, trace: Trace, folder: Path) -> Iterator[str]:
    """All of a library but the loops, line by line: shapes, what is exported, the step."""
    (output,) = trace.graph.graph.find_nodes(op="output")
    is_profiled = torch._inductor.config.cpp.enable_kernel_profile
    calls_torch = is_profiled or not set(CALLED.findall(lowered.step)) <= OWN
    yield f'#include "graph_by_{"torch" if calls_torch else "memory"}.hpp"'
    yield from KERNEL_NAMES if is_profiled else ()
    yield "namespace graph {"
    yield lowered.declared
    yield f"enum {{ NUM_INPUTS = {len(trace.example)}, NUM_OUTPUTS = {len(output.args[0])} }};"
    yield f"enum {{ NUM_CONSTANTS = {len(lowered.constants)} }};"
    yield from _shapes("SHAPES", trace.example)
    yield from _shapes("CONSTANT_SHAPES", lowered.constants)
    yield from _constants(lowered.constants, folder)
    yield "}"
    yield '#include "graph_step.hpp"'
    yield "namespace graph {"
    yield lowered.step
    yield "}\n"


def _shapes(name: str, tensors: Sequence[Tensor]) -> Iterator[str]:
    rows = []
    for i, t in enumerate(tensors):
        yield f"constexpr int64_t {name}_{i}[] = {_in_braces((*t.shape, *t.stride(), 0))};"
        ends = f"{name}_{i}, {name}_{i} + {t.dim()}"
        rows.append(f"{{{t.dim()}, {ends}, {t.element_size()}, {TYPES[t.dtype]}}}")
    yield f"[[maybe_unused]] const Shape {name}[] = {_in_braces(rows or ['{}'])};"


def _constants(tensors: Sequence[Tensor], folder: Path) -> Iterator[str]:
    """The numbers that are part of a graph, as they are in memory."""
    for i, t in enumerate(tensors):
        file = folder / f"constant_{i}"
        file.write_bytes(bytes_of(t))
        yield f'extern "C" __attribute__((visibility("hidden"))) const char constant_{i}[];'
        place = f".section .rodata\\n.balign 64\\n.hidden constant_{i}\\nconstant_{i}:"
        yield f'asm("{place}\\n.incbin \\"{file}\\"\\n.previous");'
    ends = [f"constant_{i}" for i in range(len(tensors))] or ["nullptr"]
    yield f"[[maybe_unused]] const void *const CONSTANTS[] = {_in_braces(ends)};"


def _in_braces(values: Sequence[object]) -> str:
    return f"{{{', '.join(map(str, values))}}}"


def _headers() -> tuple[str, ...]:
    include = Path(torch.__file__).parent / "include"
    return f"-I{HEADERS}", f"-I{include}", f"-I{include / 'torch/csrc/api/include'}"


def _libraries() -> tuple[str, ...]:
    folder = Path(torch.__file__).parent / "lib"
    # libtorch needs libtorch_cpu, whose 74,000 names the linker thus need not read.
    named = "-Wl,--push-state,--no-as-needed", "-ltorch", "-Wl,--pop-state"
    return f"-L{folder}", *named, f"-Wl,-rpath,{folder}"
