"""What a training step of a run costs, counted from one that is taken: no clock is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vaebench.config import RunConfig
from vaebench.config.build import build_stack, load_data
from vaebench.core.memory import PeakBytes
from vaebench.training.loop import training_steps


@dataclass(frozen=True)
class StepWork:
    """A training step of one run."""

    flops: int
    """Floating-point operations of its matrix products and convolutions."""
    elements: int
    """Numbers that all its other operations write."""
    num_bytes: int
    """What a run holds: weights, Adam's two moments, moving averages of weights where it has them,
    and the tensors of a step at their peak. Images, which the runs of a stack share, are not in."""


def step_work(config: RunConfig) -> StepWork:
    """The work of a training step: the same for all runs with one stack key that average their
    weights, and for all that do not."""
    key = config.stack_key, config.train.ema > 0
    if key not in _counted:
        _counted[key] = _count(config)
    return _counted[key]


_counted: dict[tuple[str, bool], StepWork] = {}


def _count(config: RunConfig) -> StepWork:
    """The first step makes what all runs of a stack share; the two after it are counted."""
    config = replace(config, train=replace(config.train, num_steps=3))
    dataset = load_data(config.data)
    model = build_stack([config], dataset.image_shape, dataset.log_volume)
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    steps = training_steps(model, [config], dataset)
    next(steps)
    with PeakBytes() as memory:
        next(steps)
    with Operations() as counted:
        next(steps)
    held = (4 if config.train.ema else 3) * weights
    return StepWork(counted.flops, counted.elements, held + memory.peak)


class Operations(TorchDispatchMode):
    """A context that counts the operations in it. The fused ones are counted as what they fuse."""

    def __init__(self) -> None:
        from torch.utils.flop_counter import flop_registry  # imports Triton where it is installed

        super().__init__()
        self.flops_of = flop_registry
        self.flops = self.elements = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # to keep Dynamo out of here would import it, which takes 1.6 s

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if flops := self.flops_of.get(func._overloadpacket):
            self.flops += flops(*args, **kwargs, out_val=out)
        elif not func.is_view:
            self.elements += sum(t.numel() for t in tree_leaves(out) if isinstance(t, Tensor))
        return out
