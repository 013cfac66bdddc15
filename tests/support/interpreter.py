"""What the tests under Triton's interpreter share: comparisons with float64, and guard bands.

The interpreter costs 10 to 20 ms per program, shows no races, and truncates where it stores
bfloat16.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

ROUNDING = {torch.float32: 0.0, torch.bfloat16: 2.0**-7, torch.float16: 2.0**-11}
"""Relative error of one store: bfloat16 is truncated by the interpreter, so a whole ulp."""

FP32 = 5e-6
"""Error relative to the size of the terms: normals are good to 1.5e-6 and up to 5.7 in size."""


def assert_close(name: str, got: Tensor, want: Tensor, terms: Tensor) -> None:
    """got is want up to rounding to its dtype and FP32 of the size of the terms it was made of."""
    got, want, terms = got.detach(), want.detach(), terms.detach()
    assert got.shape == want.shape, name
    smallest = torch.finfo(got.dtype).smallest_normal * torch.finfo(got.dtype).eps
    allowed = ROUNDING[got.dtype] * want.abs() + smallest + FP32 * terms
    excess = ((got.double() - want).abs() / allowed).max()
    assert excess <= 1.0, f"{name} is off by {excess:.3g} times the error allowed"


def random_like(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Upstream gradients."""
    torch.manual_seed(8)
    return tuple(torch.randn(x.shape).to(x) for x in tensors)


def as_leaf(x: Tensor) -> Tensor:
    return x.detach().clone().requires_grad_()


PAD, MARK = 4096, 12345.0


class Guarded:
    """Hands out tensors inside larger buffers, so that an access out of bounds shows.

    Inputs lie among NaN: a read outside turns a result into NaN. Outputs hold NaN and lie among
    marks: what is not written stays NaN, and what is written outside removes a mark.
    """

    def __init__(self) -> None:
        self.outputs: list[tuple[Tensor, Tensor]] = []

    def input(self, x: Tensor) -> Tensor:
        buffer = torch.full((x.numel() + 2 * PAD,), torch.nan)
        buffer[PAD:-PAD] = x.detach().flatten()
        return buffer[PAD:-PAD].view(x.shape)

    def output(self, *shape: int) -> Tensor:
        buffer = torch.full((torch.Size(shape).numel() + 2 * PAD,), MARK)
        inner = buffer[PAD : buffer.numel() - PAD].fill_(torch.nan).view(shape)
        self.outputs.append((buffer, inner))
        return inner

    def like(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.output(*x.shape) for x in tensors)

    def check(self, what: object) -> None:
        for buffer, inner in self.outputs:
            if not ((buffer[:PAD] == MARK).all() and (buffer[-PAD:] == MARK).all()):
                # The other tests have no guards: they would corrupt memory, and crash.
                pytest.exit(f"{what}: wrote outside an output", returncode=1)
            assert not inner.isnan().any(), "read outside the inputs, or left unwritten"
