"""The ways to take training steps, by the names of the option --compile.

A way imports what it needs when it is chosen: eager steps need nothing that compiled steps or CUDA
graphs do. README.md beside this file states the contract of a way.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from vaebench.core.registry import Registry
from vaebench.models import VAE
from vaebench.ops import note
from vaebench.training.descent import Descent
from vaebench.training.step import Loss, MakeBlocks, TakeBlock
from vaebench.training.stepping.eager import OneByOne, eager

COMPILE: Registry[Callable[[], MakeBlocks]] = Registry("way to compile")
"""Each call makes a way that has compiled nothing yet; what it learns of a stack serves the later
stacks that take their steps by it."""


def never() -> MakeBlocks:
    """Operation by operation."""
    return _eager


def auto() -> MakeBlocks:
    """Compiled where the steps that are left pay for it; on a GPU, one CUDA graph."""
    from vaebench.training.stepping.auto import Auto, Compilations

    return partial(_by_device, partial(Auto, Compilations()))


def always() -> MakeBlocks:
    """Compiled from the first step on; on a GPU, one CUDA graph."""
    from vaebench.training.stepping.auto import Always, Compilations

    return partial(_by_device, partial(Always, Compilations()))


COMPILE.add("auto", auto)
COMPILE.add("always", always)
COMPILE.add("never", never)


def taken(note: str) -> str:
    """How steps were taken in the end, in one word, from what a record says of them: "eager",
    "compiled" or "CUDA graph".

    `note`: the ways that `ops.note` was told, joined by commas; eager is where the others give up.
    """
    if any(way.startswith("eager") for way in note.split(", ")):
        return "eager"
    return "CUDA graph" if "CUDA graph" in note else "compiled"


def _eager(model: VAE, loss: Loss, descend: Descent, steps_left: int) -> TakeBlock:
    note("training step", "eager")
    return eager(model, loss, descend, steps_left)


def _by_device(
    on_cpu: MakeBlocks, model: VAE, loss: Loss, descend: Descent, steps_left: int
) -> TakeBlock:
    """The way for a CPU, or one CUDA graph for a model that is on a GPU."""
    if next(model.parameters()).device.type == "cpu":
        return on_cpu(model, loss, descend, steps_left)
    try:
        from vaebench.training.stepping.cuda_graph import CapturedStep
    except ImportError as error:
        note("training step", f"eager: a CUDA graph needs {error.name}")
        return eager(model, loss, descend, steps_left)
    return OneByOne(CapturedStep(model, loss), descend)
