"""What native/stride.c reads: its structures, and tensors in them."""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor

LONG, POINTER = ctypes.c_int64, ctypes.c_void_p
TYPES = {
    torch.uint8: 0,
    torch.int32: 3,
    torch.int64: 4,
    torch.float32: 6,
    torch.float64: 7,
    torch.bool: 11,
    torch.bfloat16: 15,
}
"""The numbers by which PyTorch's interface for C knows them."""
RUN = "AOTInductorModelContainerRunSingleThreaded"
"""What a graph exports."""
TORCH = (
    *("aoti_torch_create_tensor_from_blob", "aoti_torch_empty_strided"),
    *("aoti_torch_delete_tensor_object", "aoti_torch_get_data_ptr"),
    *("aoti_torch_get_sizes", "aoti_torch_get_strides"),
)
"""PyTorch's functions, in the order of `Torch`."""


class Input(ctypes.Structure):
    """Values for all steps and runs: where they are, and the shape of one."""

    _fields_ = (
        *(("at", POINTER), ("step_bytes", LONG), ("run_bytes", LONG), ("dims", LONG)),
        *(("type", LONG), ("sizes", POINTER), ("strides", POINTER)),
    )


class Parameter(ctypes.Structure):
    """A parameter of all runs, with its moments."""

    _fields_ = (
        *(("weight", POINTER), ("first", POINTER), ("second", POINTER)),
        *(("numbers", LONG), ("is_main", LONG)),
    )


class Stride(ctypes.Structure):
    """All that some steps need, and where what they give is to go."""

    _fields_ = (
        *(("run", POINTER), ("model", POINTER)),
        *(("num_steps", LONG), ("num_runs", LONG), ("num_inputs", LONG)),
        *(("num_outputs", LONG), ("num_parameters", LONG), ("num_states", LONG)),
        *(("inputs", POINTER), ("parameters", POINTER), ("states", POINTER)),
        *(("minibatch", LONG), ("images", POINTER), ("rows", POINTER)),
        *(("batch", LONG), ("pixels", LONG), ("rates", POINTER), ("limits", POINTER)),
        *(("count", ctypes.c_double), ("losses", POINTER), ("norms", POINTER)),
        *(("measured", POINTER * 2), ("problem", POINTER)),
    )


class Shape:
    """Sizes and strides of one value, as C reads them; kept as long as this is."""

    def __init__(self, example: Tensor) -> None:
        self.dims, self.type = example.dim(), TYPES[example.dtype]
        self.sizes = longs(*example.shape)
        self.strides = longs(*example.stride())

    def input(self, values: Tensor) -> Input:
        """Of values [T, S, ...], dense from the third axis on; 1 for T or S: one for all."""
        step, run = (
            values.stride(axis) * values.element_size() if values.shape[axis] > 1 else 0
            for axis in (0, 1)
        )
        ends = address(self.sizes), address(self.strides)
        return Input(values.data_ptr(), step, run, self.dims, self.type, *ends)


def longs(*numbers: int) -> ctypes.Array[ctypes.c_int64]:
    """Whole numbers in a row."""
    return (LONG * len(numbers))(*numbers)


def doubles(*numbers: float) -> ctypes.Array[ctypes.c_double]:
    """Numbers in a row."""
    return (ctypes.c_double * len(numbers))(*numbers)


def function(code: ctypes.CDLL, name: str) -> int | None:
    """Where a function of a library, or of those it needs, is."""
    return ctypes.cast(getattr(code, name), POINTER).value


def address(made: ctypes.Array[Any] | ctypes.c_int64) -> int:
    """Where it is; whoever asks keeps it."""
    return ctypes.addressof(made)
