"""The networks of one run, as a function of the user's makes them: made, and tried once."""

from __future__ import annotations

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
from vaebench.models.networks.side_by_side import Side
from vaebench.models.networks.sizes import Networks, Sizes, planes

NUM_ROWS = 4
"""Rows that a new network is tried on."""
NOT_OF_USERS = Path(torch.__file__).parent, Path(__file__).parents[2]
"""The folders of PyTorch and of this package."""
ENCODER_DRAWS, DECODER_DRAWS = 1 << 29, 1 << 30
"""The samples of a step's noise from which on the layers of a network draw: beyond those of z."""


def sides(sizes: Sizes) -> tuple[Side, Side]:
    """Encoder and decoder of a model of these sizes."""
    rows = functools.partial(torch.flatten, start_dim=1)
    to_image = functools.partial(_to_image, sizes=sizes)
    from_image = functools.partial(_from_image, sizes=sizes)
    return (
        Side("encoder", sizes.shape, (sizes.posterior,), to_image, rows, ENCODER_DRAWS),
        Side("decoder", (sizes.code,), sizes.out_shape, torch.clone, from_image, DECODER_DRAWS),
    )


def _to_image(rows: Tensor, sizes: Sizes) -> Tensor:
    """[N, P] -> [N, *sizes.shape], dense, a copy."""
    if _colours_last(sizes):
        return (
            rows.view(-1, *sizes.image_shape)
            .movedim(-1, 1)
            .clone(memory_format=torch.contiguous_format)
        )
    return rows.clone().view(-1, *sizes.shape)


def _from_image(out: Tensor, sizes: Sizes) -> Tensor:
    """[N, *sizes.out_shape] -> [N, n P]: a likelihood takes its n apart first."""
    if not _colours_last(sizes):
        return out.flatten(1)
    return out.reshape(-1, sizes.outputs_per_pixel, *sizes.shape).movedim(2, -1).flatten(1)


def _colours_last(sizes: Sizes) -> bool:
    return len(sizes.image_shape) == 3 and planes(sizes.image_shape) is not None


def build_networks(
    what: str, networks: Callable[..., Networks], sizes: Sizes, hyper: Mapping[str, Any], key: int
) -> Networks:
    """The networks of one run, every parameter with its initial value.

    Made with PyTorch's generator at the run's own key, so that a run has the same initial weights
    alone and in a stack; the generator is left as it was. Raises InputError where they are not what
    a model is.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(key)
        try:
            pair = networks(sizes, **hyper)
        except (InputError, MemoryError):
            raise
        except Exception as error:  # whatever a function of the user's may raise
            raise InputError(
                f"{what} must make its networks; it raised {_described(error)}"
            ) from error
        if not (isinstance(pair, tuple) and [isinstance(m, nn.Module) for m in pair] == [True] * 2):
            raise InputError(
                f"{what} must return two torch.nn.Modules, (encoder, decoder); got {pair!r}"
            )
        for side, network in zip(sides(sizes), pair, strict=True):
            _tried(what, side, network)
    return pair


def _tried(what: str, side: Side, network: nn.Module) -> None:
    """Call a new network once, which gives lazy layers their sizes. Raises InputError where what
    it is made of, or gives, cannot be trained."""
    x = torch.full((NUM_ROWS, *side.takes), 0.5)
    what = f"{what}: its {side.name}"
    takes, gives = _shape(side.takes), _shape(side.gives)
    _check_tensors(what, network)
    try:
        with torch.no_grad():
            out = network.eval()(x)
    except Exception as error:  # whatever a module of the user's may raise
        raise InputError(
            f"{what} must take {takes} and give {gives}; it raised {_described(error)}"
        ) from error
    if lazy := [name for name, p in network.named_parameters() if is_lazy(p)]:
        raise InputError(f"{what} must call every lazy layer; {lazy[0]} has no size yet: remove it")
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
        if parameter.dtype != torch.float32:
            raise InputError(
                f"{what} must have parameters of torch.float32; {name} has {parameter.dtype}: "
                f"leave .to(), .double() and .half() to train.precision"
            )


def _shape(of_row: Sequence[int]) -> str:
    return f"[B, {', '.join(map(str, of_row))}]" if of_row else "[B]"


def _described(error: Exception) -> str:
    """An error of the user's code in a line, with the place in it where it came from."""
    theirs = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not any(Path(frame.filename).is_relative_to(folder) for folder in NOT_OF_USERS)
    ]
    at = f" ({Path(theirs[-1].filename).name}, line {theirs[-1].lineno})" if theirs else ""
    return f"{type(error).__name__}: {first_line(error)}{at}"
