"""Layers of S runs side by side, which never mix: every parameter has a leading S axis.

Shapes: S runs, N rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vaebench.models.networks.side_by_side import StackedNetwork
from vaebench.ops.affine import affine
from vaebench.ops.noise import Noise, uniforms

KERNEL, STRIDE, PADDING = 4, 2, 1
"""Sizes of convolutions. The kernel is a multiple of the stride, so that a transposed convolution
sums equally many numbers for each pixel (Odena et al. 2016, "Deconvolution and checkerboard
artifacts")."""
PIECE = 1 << 17
"""Numbers in the largest tensor of a piece: half a MiB in float32, where caches still hold it."""


class StackedLinear(nn.Module):
    """S independent affine maps: [S, N, in] -> [S, N, out].

    Weights and biases start uniform in +-1/sqrt(in), as torch.nn.Linear's do.
    """

    def __init__(self, num_inputs: int, num_outputs: int, noise: Noise) -> None:
        super().__init__()
        values = _initial_weights(num_inputs, num_inputs + 1, num_outputs, noise)
        self.weight = nn.Parameter(values[:, :-1].contiguous())
        self.bias = nn.Parameter(values[:, -1:].contiguous())
        self.numbers_per_row = num_outputs

    def forward(self, x: Tensor) -> Tensor:
        return affine(x, self.weight, self.bias)


class StackedConv(nn.Module):
    """S independent convolutions that halve height and width, rounding down.

    Takes and gives pieces of the stack, as `in_pieces` makes them: [N, g in, H, W] each ->
    [N, g out, H / 2, W / 2]. Weights and biases start uniform in +-1/sqrt(fan in), as
    torch.nn.Conv2d's do.
    """

    def __init__(
        self, num_inputs: int, num_outputs: int, size: tuple[int, int], noise: Noise
    ) -> None:
        """`size`: height and width of the images it takes."""
        super().__init__()
        fan_in = num_inputs * KERNEL**2
        values = _initial_weights(fan_in, fan_in + 1, num_outputs, noise)
        weight = values[:, :-1].mT.unflatten(-1, (num_inputs, KERNEL, KERNEL))
        self.weight = nn.Parameter(weight.contiguous())  # [S, out, in, 4, 4]
        self.bias = nn.Parameter(values[:, -1].contiguous())  # [S, out]
        self.numbers_per_row = num_outputs * math.prod(side // STRIDE for side in size)

    def forward(self, pieces: Sequence[Tensor]) -> list[Tensor]:
        return [
            F.conv2d(x, w.flatten(0, 1), b.flatten(), STRIDE, PADDING, groups=len(w))
            for x, w, b in _with_parameters(pieces, self.weight, self.bias)
        ]


class StackedConvTranspose(nn.Module):
    """S independent transposed convolutions, back from half of height and width, rounded down.

    Takes and gives pieces of the stack: [N, g in, H / 2, W / 2] each -> [N, g out, H, W]. Weights
    and biases start uniform in +-1/sqrt(4 in), of as many numbers as each pixel adds up;
    torch.nn.ConvTranspose2d's in +-1/sqrt(16 out), which is far more where there are few channels.
    """

    def __init__(
        self, num_inputs: int, num_outputs: int, size: tuple[int, int], noise: Noise
    ) -> None:
        """`size`: height and width of the images it gives."""
        super().__init__()
        fan_in = num_inputs * (KERNEL // STRIDE) ** 2
        values = _initial_weights(fan_in, num_inputs * KERNEL**2 + 1, num_outputs, noise)
        weight = values[:, :-1].mT.unflatten(-1, (num_inputs, KERNEL, KERNEL)).transpose(1, 2)
        self.weight = nn.Parameter(weight.contiguous())  # [S, in, out, 4, 4]
        self.bias = nn.Parameter(values[:, -1].contiguous())  # [S, out]
        self.numbers_per_row = num_outputs * math.prod(size)
        self.odd = [side % STRIDE for side in size]

    def forward(self, pieces: Sequence[Tensor]) -> list[Tensor]:
        return [
            F.conv_transpose2d(
                x, w.flatten(0, 1), b.flatten(), STRIDE, PADDING, self.odd, groups=len(w)
            )
            for x, w, b in _with_parameters(pieces, self.weight, self.bias)
        ]


StackedLayer = StackedLinear | StackedConv | StackedConvTranspose | StackedNetwork


def widest(module: nn.Module) -> int:
    """The most numbers that a layer of the module gives for one row."""
    return max(m.numbers_per_row for m in module.modules() if isinstance(m, StackedLayer))


def in_pieces(x: Tensor, numbers_per_row: int) -> list[Tensor]:
    """Images [S, N, C, H, W] in pieces of g runs, side by side as channels: [N, g C, H, W] each.

    For each piece a layer is one grouped convolution. On a CPU a piece has so many runs that
    `numbers_per_row` of a run's widest layer fit PIECE, one at least; on a GPU it is the stack.
    Milliseconds of one CPU thread for each run, encoder and decoder, forward and backward, the
    least of several at 8x8 and the median at 28x28:

        images, widths, B         S    run by run   in pieces   the stack at once
        8x8, (16, 32), 64         1       2.9          3.1             2.8
                                 32       2.1          1.6             1.7
        28x28, (32, 64), 128      1        46           47              47
                                  8        45           45              62
                                 32        52           52             100

    Patches (im2col) in one batched product take twice as long and more at 28x28.
    """
    runs = len(x) if x.is_cuda else max(1, PIECE // (x.shape[1] * numbers_per_row))
    return [piece.transpose(0, 1).flatten(1, 2) for piece in x.split(runs)]


def out_of_pieces(pieces: Sequence[Tensor], num_runs: int) -> Tensor:
    """The stack again: pieces [N, g C, H, W] -> [S, N, C, H, W]."""
    return torch.cat(
        [
            piece.unflatten(1, (runs, -1)).transpose(0, 1)
            for piece, runs in zip(pieces, _runs(pieces, num_runs), strict=True)
        ]
    )


def _with_parameters(
    pieces: Sequence[Tensor], weight: Tensor, bias: Tensor
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Each piece of g runs with their weights [g, ...] and biases [g, out]."""
    runs = _runs(pieces, len(weight))
    return zip(pieces, weight.split(runs), bias.split(runs), strict=True)


def _runs(pieces: Sequence[Tensor], num_runs: int) -> list[int]:
    """How many of the runs each piece holds."""
    channels = sum(piece.shape[1] for piece in pieces) // num_runs
    return [piece.shape[1] // channels for piece in pieces]


def _initial_weights(fan_in: int, num_rows: int, num_columns: int, noise: Noise) -> Tensor:
    """Initial weights of each run, uniform in +-1/sqrt(fan_in): [S, rows, columns]."""
    scale = 1.0 / math.sqrt(fan_in)
    return scale * (2.0 * uniforms(noise, num_rows, num_columns) - 1.0)
