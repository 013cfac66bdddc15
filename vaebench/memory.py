"""Peak memory of a piece of work on the CPU, counted from the tensors it makes."""

from __future__ import annotations

import weakref
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class PeakBytes(TorchDispatchMode):
    """Within this context, `peak` is the most bytes held at once by tensors made in it.

    Exact and repeatable where the resident size of the process is neither; what an operation
    allocates and frees within itself is not seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.held = 0
        self.peak = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        old = {id(storage) for storage in _storages((args, kwargs))}
        for storage in _storages(out):
            if id(storage) not in old:
                old.add(id(storage))
                self._hold(storage.nbytes())
                weakref.finalize(storage, self._hold, -storage.nbytes())
        return out

    def _hold(self, num_bytes: int) -> None:
        self.held += num_bytes
        self.peak = max(self.peak, self.held)


def _storages(tree: Any) -> list[Any]:
    return [leaf.untyped_storage() for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
