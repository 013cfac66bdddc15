"""From the trace of a step to a library, by PyTorch's inductor and g++."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import torch

from vaebench.training.stepping.compiled.trace import Trace, product_operation

PROXY = b"aoti_torch_proxy_executor_call_function"
"""The function that a library calls for an operation that has no C, and that needs Python."""
PRODUCT = (
    "AOTITorchError aoti_torch_cpu_product(AtenTensorHandle, AtenTensorHandle, AtenTensorHandle*)"
)
"""The function of ops/c/block.c for the products of a graph, as PyTorch declares it."""


def compile_trace(trace: Trace, path: Path) -> None:
    """Write the library of a traced step.

    Raises RuntimeError where it would call Python, which is not there in C.
    """
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's own code is deprecated in places
        example = tuple(trace.example)
        code = torch._inductor.aot_compile(trace.graph, example, options=_options())
    assert isinstance(code, str), "one library, no package"
    if PROXY in Path(code).read_bytes():
        raise RuntimeError("PyTorch's compiler knows an operation of this step from Python alone")
    shutil.copy(code, path)


def _options() -> dict[str, Any]:
    return {
        "aot_inductor.custom_ops_to_c_shims": {product_operation(): [PRODUCT]},
        "cpp.threads": 1,  # runs are what is done side by side
    }
