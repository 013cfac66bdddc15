"""Convolutions of a graph as matrix products of patches (im2col), forward and backward.

For the layers of the package: 4x4 kernels, stride 2, padding 1, one group. A patch is the 4x4
numbers that one place of the smaller image sees of the larger one; `patches` reads them, `folded`,
its transpose, adds them up again. Shapes: larger image [N, C, H, W], smaller [N, O, h, w].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from vaebench.models.networks.layers import KERNEL, PADDING, STRIDE

MOST_NUMBERS, MOST_PATCHES = 7 << 16, 1 << 13
"""Numbers in the patches of a layer, 1.75 MiB, and patches; beyond, PyTorch's own convolutions are
faster.

Milliseconds of a compiled step, encoder and decoder, one run on one thread of an AMD EPYC with
AVX-512 (medians of 7 to 9 rounds), and the most numbers, and patches, of a layer:

    images, widths, B          by PyTorch   by patches   numbers    patches
    8x8, (16, 32), 64                1.26         0.45     65,536     1,024
    8x8, (16, 32), 128               1.95         0.88    131,072     2,048
    8x8, (16, 32), 256               3.25         1.70    262,144     4,096
    28x28, (16), 64                  2.38         2.76    200,704    12,544
    28x28, (16), 128                 4.42         5.55    401,408    25,088
    28x28, (32, 64), 128             20.6         30.7  3,211,264    25,088
"""
Product = Callable[[Tensor, Tensor], Tensor]
"""[1, M, K], [1, K, N] -> [1, M, N]."""


def replacements(product: Product) -> dict[Any, Any]:
    """What stands in a graph for PyTorch's convolutions in float32."""

    def convolution(
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: Sequence[int],
        padding: Sequence[int],
        dilation: Sequence[int],
        transposed: bool,
        output_padding: Sequence[int],
        groups: int,
    ) -> Any:
        if not _is_ours(x, weight, stride, padding, dilation, groups, transposed):
            return NotImplemented
        if transposed:
            size = [STRIDE * s + odd for s, odd in zip(x.shape[2:], output_padding, strict=True)]
            out = folded(product(rows_of(x), _matrix(weight)), x, weight.shape[1], size)
        else:
            columns = patches(x)
            out = images_of(product(columns, _matrix(weight).mT), x, smaller(x.shape[2:]))
        # Dense, as PyTorch's own: what follows may view it in another shape.
        return (out if bias is None else out + bias[:, None, None]).contiguous()

    def backward(
        gradient: Tensor,
        x: Tensor,
        weight: Tensor,
        bias_sizes: Sequence[int] | None,
        stride: Sequence[int],
        padding: Sequence[int],
        dilation: Sequence[int],
        transposed: bool,
        output_padding: Sequence[int],
        groups: int,
        wanted: Sequence[bool],
    ) -> Any:
        if not _is_ours(x, weight, stride, padding, dilation, groups, transposed):
            return NotImplemented
        of_x = of_weight = None
        larger, small = (gradient, x) if transposed else (x, gradient)
        columns = patches(larger)
        if wanted[0] and transposed:
            of_x = images_of(product(columns, _matrix(weight).mT), x, x.shape[2:])
        elif wanted[0]:
            of_x = folded(product(rows_of(small), _matrix(weight)), small, x.shape[1], x.shape[2:])
        if wanted[1]:
            of_weight = product(rows_of(small).mT, columns).view(weight.shape)
        of_bias = gradient.sum((0, 2, 3)) if wanted[2] else None
        return None if of_x is None else of_x.contiguous(), of_weight, of_bias

    aten = torch.ops.aten
    return {aten.convolution.default: convolution, aten.convolution_backward.default: backward}


def is_by_product(operation: Any, arguments: Sequence[Any]) -> bool:
    """Whether compiled steps take an operation of PyTorch's as a product of theirs: a convolution
    where `replacements` does, any other product."""
    aten = torch.ops.aten
    if operation == aten.convolution.default:
        x, weight, _, stride, padding, dilation, transposed, _, groups = arguments
    elif operation == aten.convolution_backward.default:
        _, x, weight, _, stride, padding, dilation, transposed, _, groups, _ = arguments
    else:
        return True
    return _is_ours(x, weight, stride, padding, dilation, groups, transposed)


def _is_ours(
    x: Tensor,
    weight: Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    transposed: bool,
) -> bool:
    """Whether it is a layer of the package in float32, with few enough patches."""
    kernel = list(weight.shape[2:]) == [KERNEL, KERNEL]
    steps = [*stride, *padding, *dilation] == [STRIDE, STRIDE, PADDING, PADDING, 1, 1]
    height, width = x.shape[2:] if transposed else smaller(x.shape[2:])
    num_patches = len(x) * height * width
    fits = x.dtype == torch.float32 and groups == 1 and kernel and steps
    few = num_patches <= MOST_PATCHES and num_patches * weight[0].numel() <= MOST_NUMBERS
    return fits and few


def smaller(size: Sequence[int]) -> list[int]:
    """Height and width after a convolution."""
    return [side // STRIDE for side in size]


def _matrix(weight: Tensor) -> Tensor:
    """[O, C, 4, 4] -> [1, O, 16 C]."""
    return weight.reshape(1, weight.shape[0], -1)


def rows_of(small: Tensor) -> Tensor:
    """[N, O, h, w] -> [1, N h w, O]."""
    return small.permute(0, 2, 3, 1).reshape(1, -1, small.shape[1])


def images_of(rows: Tensor, like: Tensor, size: Sequence[int]) -> Tensor:
    """[1, N h w, O] -> [N, O, h, w]."""
    return rows.view(like.shape[0], *size, rows.shape[-1]).permute(0, 3, 1, 2)


def patches(larger: Tensor) -> Tensor:
    """[N, C, H, W] -> [1, N h w, 16 C], channels before the places of the kernel."""
    padded = F.pad(larger, (PADDING,) * 4)
    windows = padded.unfold(2, KERNEL, STRIDE).unfold(3, KERNEL, STRIDE)  # [N, C, h, w, 4, 4]
    return windows.permute(0, 2, 3, 1, 4, 5).reshape(1, -1, larger.shape[1] * KERNEL**2)


def folded(columns: Tensor, small: Tensor, channels: int, size: Sequence[int]) -> Tensor:
    """The sums of the patches [1, N h w, 16 C] where they lie: [N, C, H, W]."""
    height, width = small.shape[2:]
    parts = columns.view(-1, height, width, channels, 2, 2, 2, 2).permute(0, 3, 1, 4, 5, 2, 6, 7)
    # Place a = 2 p + q of the kernel at y adds to 2 (y + p) + q: the two p of a q meet there.
    rows = _meet(parts, 2)  # [N, C, h + 1, q, w, p, q]
    both = _meet(rows.movedim(3, -1), 3)  # [N, C, h + 1, w + 1, q of columns, q of rows]
    out = both.permute(0, 1, 2, 5, 3, 4).reshape(
        -1, channels, STRIDE * (height + 1), STRIDE * (width + 1)
    )
    rest = [max(0, side + PADDING - have) for side, have in zip(size, out.shape[2:], strict=True)]
    whole = F.pad(out, (0, rest[1], 0, rest[0])) if any(rest) else out
    return whole[..., PADDING : PADDING + size[0], PADDING : PADDING + size[1]]


def _meet(parts: Tensor, axis: int) -> Tensor:
    """Positions on `axis` and p behind it: the p = 1 of one is added to the p = 0 of the next."""
    here, next_ = parts.unbind(axis + 1)
    behind = [0, 0] * (here.dim() - axis - 1)
    return F.pad(here, [*behind, 0, 1]) + F.pad(next_, [*behind, 1, 0])
