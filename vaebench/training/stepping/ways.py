"""The ways to take training steps, by name.

A way imports what it needs when it is chosen: eager steps need nothing that compiled steps or CUDA
graphs do. README.md beside this file states the contract of a way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from vaebench.core.registry import Registry
from vaebench.models import VAE
from vaebench.ops import note
from vaebench.training.descent import Descent
from vaebench.training.step import Loss, MakeBlocks, TakeBlock
from vaebench.training.stepping.eager import OneByOne, eager

STEP, WHY, LIKE = "training step", "why this step", "stack key"
"""What is noted of a run's steps: the way that was taken, why, and of which runs that holds."""
WAYS: Registry[Callable[[], MakeBlocks]] = Registry("way to take steps")
"""Each call makes a way that has compiled nothing yet; what it compiles for a stack serves the
later stacks that take their steps by it."""


@dataclass(frozen=True)
class Stepping:
    """How a run takes its steps."""

    way: str = "eager"
    """A name of WAYS."""
    why: str = ""
    """The reason for it, in words."""
    kind: str = ""
    """What runs share that have one graph: see `training.kind`."""

    @property
    def is_compiled(self) -> bool:
        return self.way != "eager"


EAGER = Stepping()


def never() -> MakeBlocks:
    """Operation by operation."""
    return _eager


def always() -> MakeBlocks:
    """Compiled from the first step on; on a GPU, one CUDA graph.

    Raises RuntimeError at the first step where it cannot be compiled.
    """
    from vaebench.training.stepping.compiled.way import CompiledSteps, Graphs

    return partial(_by_device, partial(CompiledSteps, Graphs()))


def where_possible() -> MakeBlocks:
    """Compiled; operation by operation where it cannot be compiled, which is noted."""
    from vaebench.training.stepping.compiled.way import CompiledOrEager, Graphs

    return partial(_by_device, partial(CompiledOrEager, Graphs()))


WAYS.add("eager", never)
WAYS.add("compiled", always)
WAYS.add("compiled or eager", where_possible)


def taken(note: str) -> str:
    """How steps were taken in the end, in one word, from what a record says of them: "eager",
    "compiled" or "CUDA graph".

    `note`: the ways that `ops.note` was told, joined by commas; eager is where the others give up.
    """
    if any(way.startswith("eager") for way in note.split(", ")):
        return "eager"
    return "CUDA graph" if "CUDA graph" in note else "compiled"


def _eager(model: VAE, loss: Loss, descend: Descent, steps_left: int) -> TakeBlock:
    note(STEP, "eager")
    return eager(model, loss, descend, steps_left)


def _by_device(
    on_cpu: MakeBlocks, model: VAE, loss: Loss, descend: Descent, steps_left: int
) -> TakeBlock:
    """The way for a CPU, or one CUDA graph for a model that is on a GPU."""
    if next(model.parameters()).device.type == "cpu":
        return on_cpu(model, loss, descend, steps_left)
    if loss.num_microbatches > 1:
        note(STEP, "eager: a CUDA graph takes one minibatch, and train.accumulate asks for several")
        return eager(model, loss, descend, steps_left)
    try:
        from vaebench.training.stepping.cuda_graph import CapturedStep
    except ImportError as error:
        note(STEP, f"eager: a CUDA graph needs {error.name}")
        return eager(model, loss, descend, steps_left)
    return OneByOne(CapturedStep(model, loss), descend)
