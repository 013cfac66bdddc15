"""From a function that makes the networks of one run to the networks of S runs.

Each run's are made with PyTorch's generator at the run's own seed, so that a run has the same
initial weights alone and in a stack, and the generator is left as it was.
"""

from __future__ import annotations

import copy
import functools
import math
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from vaebench.core.errors import InputError, first_line
from vaebench.models.networks.draws import Drawing
from vaebench.models.networks.side_by_side import Side, StackedNetwork, places
from vaebench.models.networks.sizes import Networks, Sizes, planes
from vaebench.ops.noise import Noise

NUM_ROWS = 4
"""Rows that a new network is tried on."""
ENCODER_DRAWS, DECODER_DRAWS = 1 << 29, 1 << 30
"""The samples of a step's noise from which on the layers of a network draw: beyond those of z."""


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
    made = [_made(what, networks, sizes, hyper, key) for key in keys]
    joined: dict[int, tuple[Tensor, Tensor]] = {}
    pairs = zip(sides(sizes), zip(*made, strict=True), strict=True)
    encoder, decoder = (_side_by_side(what, side, copies, joined) for side, copies in pairs)
    return encoder, decoder


def sides(sizes: Sizes) -> tuple[Side, Side]:
    """Encoder and decoder of a model of these sizes."""
    rows = functools.partial(torch.flatten, start_dim=1)
    to_image = functools.partial(_to_image, sizes=sizes)
    from_image = functools.partial(_from_image, sizes=sizes)
    return (
        Side("encoder", sizes.shape, (sizes.posterior,), to_image, rows, ENCODER_DRAWS),
        Side("decoder", (sizes.code,), sizes.out_shape, _as_it_is, from_image, DECODER_DRAWS),
    )


def _as_it_is(rows: Tensor) -> Tensor:
    return rows


def _to_image(rows: Tensor, sizes: Sizes) -> Tensor:
    """[N, P] -> [N, *sizes.shape], dense."""
    images = rows.unflatten(-1, sizes.image_shape)
    return (
        images.movedim(-1, 1).contiguous()
        if _colours_last(sizes)
        else images.view(len(rows), *sizes.shape)
    )


def _from_image(out: Tensor, sizes: Sizes) -> Tensor:
    """[N, *sizes.out_shape] -> [N, n P]: a likelihood takes its n apart first."""
    images = out.reshape(len(out), sizes.outputs_per_pixel, *sizes.shape)
    return (images.movedim(2, -1) if _colours_last(sizes) else images).flatten(1)


def _colours_last(sizes: Sizes) -> bool:
    return len(sizes.image_shape) == 3 and planes(sizes.image_shape) is not None


# ------------------------------------------------------------------ one run


def _made(
    what: str, networks: Callable[..., Networks], sizes: Sizes, hyper: Mapping[str, Any], key: int
) -> Networks:
    """The networks of one run, every parameter with its initial value."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(key)
        try:
            made = networks(sizes, **hyper)
        except (InputError, MemoryError):
            raise
        except Exception as error:  # whatever a function of the user's may raise
            raise InputError(f"{what} must make its networks; it raised {_told(error)}") from error
        if not (isinstance(made, tuple) and [isinstance(m, nn.Module) for m in made] == [True] * 2):
            raise InputError(
                f"{what} must return two torch.nn.Modules, (encoder, decoder); got {made!r}"
            )
        for side, network in zip(sides(sizes), made, strict=True):
            _tried(what, side, network)
    return made


def _tried(what: str, side: Side, network: nn.Module) -> None:
    """Call a new network once, which gives lazy layers their sizes. Raises InputError where what
    it is made of, or gives, cannot be trained."""
    x = torch.full((NUM_ROWS, *side.takes), 0.5)
    what = f"{what}: its {side.name}"
    takes, gives = _shape(side.takes), _shape(side.gives)
    try:
        with torch.no_grad():
            out = network.eval()(x)
    except Exception as error:  # whatever a module of the user's may raise
        raise InputError(
            f"{what} must take {takes} and give {gives}; it raised {_told(error)}"
        ) from error
    _check_tensors(what, network)
    if not isinstance(out, Tensor):
        raise InputError(f"{what} must give one tensor {gives}; got {type(out).__name__}")
    if len(out.shape) < 2 or len(out) != NUM_ROWS or out[0].numel() != math.prod(side.gives):
        raise InputError(
            f"{what} must give {gives} for {takes}; it gives {_shape(out.shape[1:])}"
            f"{'' if len(out.shape) and len(out) == NUM_ROWS else f' of {NUM_ROWS} rows'}"
        )
    if out.dtype != x.dtype:
        raise InputError(
            f"{what} must give {x.dtype} for {x.dtype}; it gives {out.dtype}: leave .to(), "
            f".double() and .half() to train.precision"
        )


def _check_tensors(what: str, network: nn.Module) -> None:
    if not any(p.requires_grad for p in network.parameters()):
        raise InputError(f"{what} must have parameters to train; it has none: add a layer")
    for name, parameter in network.named_parameters():
        if parameter.dtype != torch.float32 or is_lazy(parameter):
            got = "no size yet" if is_lazy(parameter) else parameter.dtype
            raise InputError(
                f"{what} must have parameters of torch.float32; {name} has {got}: leave .to(), "
                f".double() and .half() to train.precision, and use every lazy layer"
            )


def _shape(of_row: Sequence[int]) -> str:
    return f"[B, {', '.join(map(str, of_row))}]" if of_row else "[B]"


def _told(error: Exception) -> str:
    """An error of the user's code in a line, with where it came from."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if "torch" not in Path(frame.filename).parts:
            break
    at = f"{Path(frame.filename).name}, line {frame.lineno}"
    return f"{type(error).__name__}: {first_line(error)} ({at})"


# ------------------------------------------------------------------ side by side


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
    for held_by_runs in zip(*map(list, map(places, copies)), strict=True):
        tensors = [held[name] for held, name in held_by_runs]
        held, name = held_by_runs[0]
        _check_alike(f"{what}: its {side.name}", name, tensors)
        if id(tensors[0]) not in joined:
            joined[id(tensors[0])] = tensors[0], _joined(tensors)
        held[name] = joined[id(tensors[0])][1]
    _freeze(first)
    return StackedNetwork(first, side, widest, draws)


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
