"""Adam for all runs of a stack in one call of C: adam.c."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from vaebench.ops import c
from vaebench.ops.adam import AdamScalars, Moments


def can_move_in_c(values: Sequence[Tensor]) -> bool:
    """Whether `MoveInC` takes these parameters."""
    fit = all(t.is_cpu and t.dtype == torch.float32 and t.is_contiguous() for t in values)
    return fit and c.library() is not None


NUM_SCALARS = len(AdamScalars._fields)


class MoveInC:
    """Moves all runs, each by its own scalars.

    C is told once where parameters and moments lie: their memory must stay where it is.
    """

    def __init__(self, values: Sequence[Tensor], moments: Moments) -> None:
        # Kept, so that no memory is freed whose address C has.
        self.tensors = [*values, *moments.first, *moments.second, *moments.averages], moments.count
        num_tensors, num_runs = len(values), len(values[0])
        sizes = (ctypes.c_int64 * num_tensors)(*(t[0].numel() for t in values))
        places = (ctypes.c_void_p * (4 * num_tensors))(*(t.data_ptr() for t in self.tensors[0]))
        count = moments.count.data_ptr()
        self.scalars: Sequence[AdamScalars] = ()
        self.numbers = (ctypes.c_double * (NUM_SCALARS * num_runs))()
        self.arguments = num_tensors, num_runs, sizes, self.numbers, places, count
        self.addresses = ctypes.c_void_p * num_tensors

    def __call__(self, gradients: Sequence[Tensor | None], scalars: Sequence[AdamScalars]) -> None:
        """One step by the gradients of all parameters, dense, None where there is none, and the
        scalars of each run."""
        if scalars is not self.scalars:
            self.scalars, self.numbers[:] = scalars, [*itertools.chain(*scalars)]
        places = self.addresses(*(None if g is None else g.data_ptr() for g in gradients))
        c.functions().vaebench_adam(*self.arguments, places)
