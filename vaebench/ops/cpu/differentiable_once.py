"""A decorator for gradients written by hand, which have no gradient of their own."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

from vaebench.core.errors import InputError


def differentiable_once(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Make a Function's backward refuse to be differentiated.

    PyTorch would take what it saved for constants, without a word.
    """

    @functools.wraps(backward)
    def checked(ctx: Any, *upstream: Any) -> Any:
        if torch.is_grad_enabled():
            raise InputError(
                "the CPU's own operations can be differentiated once; got create_graph=True: take "
                "vaebench.ops.densities where a loss holds a gradient"
            )
        return backward(ctx, *upstream)

    return checked
