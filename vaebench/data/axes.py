"""Which axis of a stored image holds its colours, judged from the lengths of the axes alone."""

from __future__ import annotations

from typing import Literal

COLOURS = (1, 3)
"""Lengths of an axis that holds grey or colours."""


def colour_axis(image_shape: tuple[int, ...]) -> Literal[0, -1] | None:
    """The axis of a stored image that holds its grey or its colours, -1, 0 or None.

    -1 for [H, W, C]; 0 for [C, H, W], where the last axis cannot be it; None for [H, W] and for
    anything that is no picture.
    """
    match image_shape:
        case (_, _, channels) if channels in COLOURS:
            return -1
        case (channels, _, _) if channels in COLOURS:
            return 0
        case _:
            return None
