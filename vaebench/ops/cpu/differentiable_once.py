"""Gradients written by hand have no gradient of their own, and must say so."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

from vaebench.core.errors import InputError


def once(backward: Callable[..., Any]) -> Callable[..., Any]:
    """A Function's backward that refuses to be differentiated: PyTorch would take what it saved for
    constants, without a word."""

    @functools.wraps(backward)
    def checked(ctx: Any, *upstream: Any) -> Any:
        if torch.is_grad_enabled():
            raise InputError(
                "the CPU's own operations can be differentiated once; got create_graph=True: take "
                "vaebench.ops.densities where a loss holds a gradient"
            )
        return backward(ctx, *upstream)

    return checked
