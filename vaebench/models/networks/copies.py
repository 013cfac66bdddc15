"""From a function that makes the networks of one run to the networks of S runs."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from vaebench.core.errors import InputError, first_line
from vaebench.models.networks.draws import Drawing
from vaebench.models.networks.one_run import NUM_ROWS, build_networks, sides
from vaebench.models.networks.side_by_side import (
    LEAST_AT_ONCE,
    Side,
    StackedNetwork,
    outputs,
    places,
)
from vaebench.models.networks.sizes import Networks, Sizes
from vaebench.ops import note
from vaebench.ops.noise import Noise


def stacked(
    name: str,
    networks: Callable[..., Networks],
    sizes: Sizes,
    hyper: Mapping[str, Any],
    keys: Sequence[int],
) -> Networks:
    """Encoder and decoder of S runs, each run's made from its own key.

    Raises InputError where they are not what a model is.
    """
    what = f"model {name!r}"
    runs = [build_networks(what, networks, sizes, hyper, key) for key in keys]
    joined: dict[int, tuple[Tensor, Tensor]] = {}
    pairs = zip(sides(sizes), zip(*runs, strict=True), strict=True)
    encoder, decoder = (_side_by_side(what, side, copies, joined) for side, copies in pairs)
    return encoder, decoder


def _side_by_side(
    what: str,
    side: Side,
    copies: Sequence[nn.Module],
    joined: dict[int, tuple[Tensor, Tensor]],
) -> StackedNetwork:
    """The copies of a network as one, in the modules of the first.

    `joined`: tensors of the first run, by identity, with the stacked ones, so that what encoder
    and decoder share stays shared.
    """
    first = copies[0]
    widest, draws = _widest(first, side), _draws(first, side)
    for held_by_runs in zip(*(list(places(one.modules())) for one in copies), strict=True):
        tensors = [held[name] for held, name in held_by_runs]
        held, name = held_by_runs[0]
        _check_alike(f"{what}: its {side.name}", name, tensors)
        if id(tensors[0]) not in joined:
            joined[id(tensors[0])] = tensors[0], _joined(tensors)
        held[name] = joined[id(tensors[0])][1]
    _freeze(first)
    network = StackedNetwork(first, side, widest, draws)
    network.at_once = network.at_once and _is_alike_at_once(network, len(copies))
    return network


def _is_alike_at_once(network: StackedNetwork, num_runs: int) -> bool:
    """Whether runs that go through a network at once are what they are one after another, in
    training and in evaluation. If not, the record says so."""
    if num_runs < LEAST_AT_ONCE:
        return False
    size = math.prod(network.side.takes)
    rows = torch.rand(num_runs, NUM_ROWS, size, generator=torch.Generator().manual_seed(0))
    for step in (Noise((0,) * num_runs), None):
        together, apart = copy.deepcopy(network), copy.deepcopy(network)
        apart.at_once = False
        try:
            with torch.no_grad():
                _assert_close(outputs(together, rows, step), outputs(apart, rows, step))
            _assert_close(together.state_dict(), apart.state_dict())
        except Exception as error:  # whatever an operation or a module of the user's may raise
            note(f"runs of the {network.side.name}", f"one after another: {first_line(error)}")
            return False
    return True


_assert_close = partial(torch.testing.assert_close, rtol=1e-3, atol=1e-4)
"""Raises where outputs in float32 of runs at once and one after another differ."""


def _joined(tensors: Sequence[Tensor]) -> Tensor:
    values = torch.stack([tensor.detach() for tensor in tensors])
    return nn.Parameter(values) if tensors[0].requires_grad else values


def _freeze(network: nn.Module) -> None:
    """Make buffers of what the user does not want trained: all parameters are moved. Weights that
    are kept hold every buffer."""
    for module in network.modules():
        module._non_persistent_buffers_set.clear()
        for name, tensor in [*module._parameters.items()]:
            if tensor is not None and not tensor.requires_grad:
                del module._parameters[name]
                module.register_buffer(name, tensor)


def _check_alike(what: str, name: str, tensors: Sequence[Tensor | None]) -> None:
    shapes = {None if t is None else t.shape for t in tensors}
    if len(shapes) > 1:
        raise InputError(
            f"{what} must have the same layers for every seed; {name!r} has the shapes "
            f"{', '.join(map(str, map(tuple, filter(None, shapes))))}"
        )
    if len({id(t) for t in tensors}) < len(tensors):
        raise InputError(
            f"{what} must be made anew at each call; two runs share {name!r}: make its modules "
            f"within the function"
        )


def _widest(network: nn.Module, side: Side) -> int:
    """The most numbers that a layer of a network gives for one row."""
    sizes: list[int] = []

    def look(layer: nn.Module, inputs: Any, out: Any) -> None:
        sizes.extend([out.numel() // NUM_ROWS] if isinstance(out, Tensor) else [])

    hooks = [module.register_forward_hook(look) for module in network.modules()]
    with torch.no_grad():
        network.eval()(torch.full((NUM_ROWS, *side.takes), 0.5))
    for hook in hooks:
        hook.remove()
    return max(sizes)


def _draws(network: nn.Module, side: Side) -> bool:
    """Whether its layers draw random numbers in training, as far as they can be replaced."""
    with torch.no_grad(), torch.random.fork_rng(devices=[]), Drawing(Noise((0,))) as drawing:
        try:
            copy.deepcopy(network).train()(torch.full((NUM_ROWS, *side.takes), 0.5))
        except Exception:  # training meets it too, and says so
            return True
    return drawing.num_draws > 0
