"""What a training step of a run costs, counted from one that is taken: no clock is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from msgspec.structs import replace
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vaebench.config import Choice, RunConfig, TrainConfig
from vaebench.config.build import build_stack, load_data
from vaebench.config.functions import functions_of_steps
from vaebench.core.memory import PeakBytes
from vaebench.core.user_code import is_users
from vaebench.models import MODELS
from vaebench.training.loop import training_steps


@dataclass(frozen=True)
class StepWork:
    """A training step of one run."""

    flops: int
    """Floating-point operations of its matrix products and convolutions."""
    product_flops: int
    """The operations of its products, and of convolutions that compiled steps take as products."""
    elements: int
    """Numbers that all its other operations write."""
    num_bytes: int
    """What a run holds: weights, Adam's two moments, moving averages of weights where it has them,
    and the tensors of a step at their peak. Images, which the runs of a stack share, are not in."""
    step_bytes: int
    """The part of it that is tensors of a step."""


def step_work(config: RunConfig) -> StepWork:
    """The work of a training step: the same for all runs with one stack key that average their
    weights, and for all that do not.

    Of the user's functions only networks are called, which were tried when the study was read. For
    others, which workers alone call, a plain ELBO on the same network stands.
    """
    key = config.stack_key, config.train.ema > 0
    if key not in _counted:
        with torch.random.fork_rng(devices=[]):  # who draws from it is to find it as it was
            _counted[key] = _count(with_users_networks_alone(config))
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
    return StepWork(
        flops=counted.flops,
        product_flops=counted.product_flops,
        elements=counted.elements,
        num_bytes=held + memory.peak,
        step_bytes=memory.peak,
    )


def with_users_networks_alone(config: RunConfig) -> RunConfig:
    networks = MODELS[config.model.name].networks
    if not any(is_users(part) for part in functions_of_steps(config) if part is not networks):
        return config
    plain = {
        "objective": Choice("elbo"),
        "likelihood": Choice("bernoulli"),
        "posterior": Choice("diagonal_gaussian"),
        "prior": Choice("standard_normal"),
    }
    train = replace(config.train, learning_rate=TrainConfig().learning_rate)
    return replace(config, **plain, train=train, rate_weight=1.0)


class Operations(TorchDispatchMode):
    """A context that counts the operations in it. The fused ones are counted as what they fuse."""

    def __init__(self) -> None:
        from torch.utils.flop_counter import flop_registry  # imports Triton where it is installed

        # What compiled steps are made of is imported where they are counted.
        from vaebench.training.stepping.compiled.convolutions import is_by_product

        super().__init__()
        self.is_by_product = is_by_product
        self.flops_of = flop_registry
        self.flops = self.product_flops = self.elements = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # to keep Dynamo out of here would import it, which takes 1.6 s

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if flops := self.flops_of.get(func._overloadpacket):
            number = flops(*args, **kwargs, out_val=out)
            self.flops += number
            self.product_flops += number if self.is_by_product(func, args) else 0
        elif not func.is_view:
            self.elements += sum(t.numel() for t in tree_leaves(out) if isinstance(t, Tensor))
        return out
