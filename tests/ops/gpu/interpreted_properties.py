"""The kernels on shapes, layouts and dtypes that hypothesis draws, by Triton's interpreter.

`test_gpu.py` runs this file in a process of its own, with TRITON_INTERPRET=1. The examples
are the same in every run.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vaebench.ops import densities
from vaebench.ops import gpu as fused
from vaebench.ops.noise import Noise

# numpy, which the interpreter computes with, warns of log 0 in lanes beyond the last row.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

TOLERANCES = {torch.float32: 2e-5, torch.bfloat16: 4e-2, torch.float16: 4e-3}
"""Largest |error| / (1 + |value|): one rounding on the way in a 16-bit store, and one ulp more,
because the interpreter truncates."""

EXAMPLES = settings(max_examples=12, deadline=None, derandomize=True, database=None)

dtypes = st.sampled_from(list(TOLERANCES))
shapes = st.tuples(  # K, S, B, D
    st.integers(1, 3), st.integers(1, 3), st.integers(1, 9), st.sampled_from([1, 2, 3, 8, 20, 33])
)

Layout = Callable[[Tensor], Tensor]
LAYOUTS: dict[str, Layout] = {
    "dense": lambda x: x.contiguous(),
    "half of a chunk": lambda x: torch.cat([x, torch.full_like(x, torch.nan)], -1).chunk(2, -1)[0],
    "columns first": lambda x: x.mT.contiguous().mT,
    "axes swapped": lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
    "one row": lambda x: x[..., :1, :].expand_as(x),
    "one run": lambda x: x[:1].expand_as(x),
    "every second row": lambda x: x.repeat_interleave(2, -2)[..., ::2, :],
}
layouts = st.sampled_from(list(LAYOUTS))


def draw(shape: tuple[int, ...], dtype: torch.dtype, layout: str, seed: int) -> Tensor:
    torch.manual_seed(seed)
    return LAYOUTS[layout](torch.randn(shape).to(dtype)).requires_grad_()


def agree(
    op: Callable[..., object], reference: Callable[..., object], leaves: list[Tensor]
) -> None:
    """Values in the dtype of the leaves and gradients, against float64 from the same numbers."""
    doubles = [x.detach().double().requires_grad_() for x in leaves]
    results = []
    upstream: list[Tensor] = []
    for function, inputs in ((op, leaves), (reference, doubles)):
        out = function(*inputs)
        out = out if isinstance(out, tuple) else (out,)
        reached = [x for x in out if x.requires_grad]
        torch.manual_seed(9)
        upstream = upstream or [torch.randn(x.shape).to(x.dtype) for x in reached]
        given_back = [u.to(x) for u, x in zip(upstream, reached, strict=True)]
        gradients = torch.autograd.grad(reached, inputs, given_back)
        results.append([*out, *gradients])
    tolerance = TOLERANCES[leaves[0].dtype]
    for got, want in zip(*results, strict=True):
        assert got.shape == want.shape
        assert ((got.double() - want).abs() <= tolerance * (1.0 + want.abs())).all()


@EXAMPLES
@given(
    shape=shapes,
    dtype=dtypes,
    first=layouts,
    second=layouts,
    path=st.booleans(),
    step=st.integers(0, 2**32 - 1),
)
def test_latent_step(
    shape: tuple[int, int, int, int],
    dtype: torch.dtype,
    first: str,
    second: str,
    path: bool,
    step: int,
) -> None:
    num_samples, num_runs, *_ = shape
    noise = Noise(tuple(range(5, 5 + num_runs)), step=step)
    leaves = [draw(shape[1:], dtype, layout, seed) for seed, layout in enumerate((first, second))]
    for name, options in (("reparameterise_kl", {}), ("reparameterise_log_probs", {"path": path})):
        ways = [
            partial(getattr(ops, name), noise=noise, num_samples=num_samples, **options)
            for ops in (fused, densities)
        ]
        agree(*ways, leaves)


LAWS = ["bernoulli", "gaussian", "continuous_bernoulli", "discretised_logistic"]


@EXAMPLES
@given(
    shape=shapes,
    dtype=dtypes,
    stored=st.sampled_from(["float", "byte"]),
    law=st.sampled_from(LAWS),
    first=layouts,
    second=layouts,
    of_x=layouts,
    narrow=st.booleans(),
)
def test_likelihoods(
    shape: tuple[int, int, int, int],
    dtype: torch.dtype,
    stored: str,
    law: str,
    first: str,
    second: str,
    of_x: str,
    narrow: bool,
) -> None:
    torch.manual_seed(2)
    levels = torch.randint(0, 256, shape[1:])
    if law == "bernoulli":
        levels = 255 * (levels > 127)
    x = (levels / 255).to(dtype)
    x = LAYOUTS[of_x](x)
    if stored == "byte":
        x = (levels // 255 if law == "bernoulli" else levels).to(torch.uint8)
    leaves = [draw(shape, dtype, first, 3)]
    if law in ("gaussian", "discretised_logistic"):
        width = 1 if narrow and law == "gaussian" else shape[-1]
        leaves.append(draw((*shape[:-1], width), dtype, second, 4))
    exact = x.double() / (255 if stored == "byte" and law != "bernoulli" else 1)
    name = f"{law}_log_prob"
    agree(
        lambda *p: getattr(fused, name)(x, *p),
        lambda *p: getattr(densities, name)(exact, *p),
        leaves,
    )


@EXAMPLES
@given(shape=shapes, dtype=dtypes, layout=layouts)
def test_importance_weights(
    shape: tuple[int, int, int, int], dtype: torch.dtype, layout: str
) -> None:
    num_samples, _, B, D = shape
    log_w = draw((num_samples, B, D), dtype, layout, 5)
    agree(fused.importance_weights, densities.importance_weights, [log_w])
