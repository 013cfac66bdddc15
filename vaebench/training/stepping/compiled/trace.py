"""The step of one run as a graph of PyTorch's operations."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from vaebench.core.hyper import Scalar
from vaebench.models import VAE, select
from vaebench.ops import densities
from vaebench.ops.noise import Noise
from vaebench.ops.recorded_draws import Draw, Recording, Replay
from vaebench.training.scalars import Scalars
from vaebench.training.step import Loss
from vaebench.training.stepping.compiled import convolutions


@dataclass(frozen=True)
class Trace:
    """A step of one run as a graph, with tensors to try it on.

    (parameters, buffers, x [1, B, P], numbers, scalars [1, 1]) in a row -> loss [1],
    kl_or_estimate and distortion [1, B], gradients, the state, where there is any [1, n].
    """

    graph: torch.fx.GraphModule
    example: list[Tensor]
    draws: tuple[Draw, ...]
    """The random numbers of a step."""
    moved: tuple[bool, ...]
    """Whether a parameter has a gradient, for each."""

    def constants(self) -> Iterator[tuple[str, Tensor]]:
        """The tensors that are part of the graph, by the names that its code has for them."""
        for node in self.graph.graph.find_nodes(op="get_attr"):
            yield node.target, getattr(self.graph, node.target)


def trace_step(
    model: VAE,
    loss: Loss,
    x: Tensor,
    noise: Noise,
    scalars: Scalars,
    native_products: bool = True,
) -> Trace:
    """Trace the first run of a stack. The arguments are those of a step; none of them changes.

    `native_products`: matrix products by ops/c/product.c, else by PyTorch's bmm.
    """
    from torch.fx.experimental.proxy_tensor import make_fx  # half a second, and few runs compile

    x, noise = x[:1], replace(noise, keys=noise.keys[:1])
    scalars = scalars.mapped(_of_first_run)
    step = _Step(select(model, [0]), loss)
    tensors = dict(step.named_parameters()) | dict(step.named_buffers())
    num_learned = len(list(step.parameters()))
    draws = _draws(step, tensors, x, noise, scalars)
    moved: list[bool] = []

    def body(*inputs: Tensor) -> list[Tensor]:
        inputs_left = iter(inputs)
        named = {name: next(inputs_left) for name in tensors}
        learned = [t.requires_grad_() for t in itertools.islice(named.values(), num_learned)]
        x = next(inputs_left)
        source = Replay(iter([next(inputs_left) for _ in draws]))
        arguments = x, replace(noise, source=source), _replaced(scalars, inputs_left)
        mean_loss, total, kl, distortion, *state = torch.func.functional_call(
            step, named, arguments
        )
        gradients = torch.autograd.grad(total, learned, allow_unused=True)
        moved[:] = [gradient is not None for gradient in gradients]
        # In one tensor, so that no output is another's memory, or an input's.
        together = [torch.cat(state, -1)] if state else []
        outputs = [mean_loss, kl, distortion, *gradients, *together]
        return [t.detach().to(x.dtype).contiguous() for t in outputs if t is not None]

    numbers = (draw.at(noise).to(x) for draw in draws)
    values = (v if isinstance(v, Tensor) else x.new_full((1, 1), v) for v in varying(scalars))
    example = [t.detach().clone() for t in (*tensors.values(), x, *numbers, *values)]
    replaced = _replacements() | (_native_products() if native_products else {})
    # On stand-ins of no values, some operations (one_hot) do without a look at them. Tables that an
    # objective keeps are real: recording the step has made them.
    tracer = make_fx(body, replaced, tracing_mode="fake", _allow_non_fake_inputs=True)
    graph = tracer(*example)
    return Trace(graph, example, draws, tuple(moved))


def varying(scalars: Scalars) -> Iterator[Scalar]:
    """The scalars that a graph is given: all but the counts, which are part of it."""
    return (value for value in scalars.values() if not isinstance(value, int))


def _of_first_run(value: Scalar) -> Scalar:
    return value[:1] if isinstance(value, Tensor) else value


def _replaced(scalars: Scalars, values: Iterator[Tensor]) -> Scalars:
    """Other values for those that vary, in the order of `varying`."""
    return scalars.mapped(lambda value: value if isinstance(value, int) else next(values))


def _draws(
    step: _Step, tensors: Mapping[str, Tensor], x: Tensor, noise: Noise, scalars: Scalars
) -> tuple[Draw, ...]:
    """The random numbers that a step draws, recorded at its row of the noise and at the next."""
    draws = []
    for here in (noise, noise.at(row=noise.first_row + 1)):
        recording = Recording(noise.step, noise.keys)
        copies = {name: t.detach().clone() for name, t in tensors.items()}
        torch.func.functional_call(step, copies, (x, replace(here, source=recording), scalars))
        draws.append(recording.draws)
    return tuple(replace(a, rows_on=b.row - a.row) for a, b in zip(*draws, strict=True))


class _Step(nn.Module):
    """The step with the model as its part, whose tensors functional_call can exchange."""

    def __init__(self, model: VAE, loss: Loss) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, x: Tensor, noise: Noise, scalars: Scalars) -> list[Tensor]:
        """Loss of each run, what is differentiated, kl_or_estimate, distortion, the state."""
        terms = self.loss.terms(self.model, x, noise, scalars, operations=densities)
        loss, total = self.loss(terms, scalars)
        state = self.loss.next_state(terms, scalars)
        ordered = (state[name] for name in self.loss.objective.state)
        return [loss, total, terms.kl_or_estimate, terms.distortion, *ordered]


def _replacements() -> dict[Any, Any]:
    """What stands in a graph for some operations of PyTorch in float32."""

    def cross_entropy(
        logits: Tensor, target: Tensor, weight: None = None, pos_weight: None = None, mean: int = 1
    ) -> Tensor:
        if logits.dtype != torch.float32 or mean or (weight, pos_weight) != (None, None):
            return NotImplemented
        return logits.clamp_min(0.0) - logits * target + _log1p(torch.exp(-logits.abs()))

    return {torch.ops.aten.binary_cross_entropy_with_logits.default: cross_entropy}


def _native_products() -> dict[Any, Any]:
    """The product in C that stands in a graph for PyTorch's batched products and convolutions in
    float32."""
    product, aten = product_operation(), torch.ops.aten

    def bmm(a: Tensor, b: Tensor) -> Tensor:
        return product(a, b) if a.dtype == torch.float32 else NotImplemented

    def baddbmm(bias: Tensor, a: Tensor, b: Tensor) -> Tensor:
        # Apart from the product, the sum joins the activation that follows.
        return product(a, b) + bias if a.dtype == torch.float32 else NotImplemented

    def mm(a: Tensor, b: Tensor) -> Tensor:
        return product(a[None], b[None])[0] if a.dtype == torch.float32 else NotImplemented

    def addmm(bias: Tensor, a: Tensor, b: Tensor) -> Tensor:  # of torch.nn.Linear
        return mm(a, b) + bias if a.dtype == torch.float32 else NotImplemented

    products = {aten.bmm: bmm, aten.baddbmm: baddbmm, aten.mm: mm, aten.addmm: addmm}
    of_patches = convolutions.replacements(product)
    return {packet.default: function for packet, function in products.items()} | of_patches


def _log1p(x: Tensor) -> Tensor:
    """log(1 + x) of x in [0, 1], to 2 units in the last place: 2 artanh(s) at s = x / (2 + x),
    which is 2 (s + s^3/3 + s^5/5 + ...) with s <= 1/3. A general log1p must serve more x."""
    s = x / (x + 2.0)
    square = s * s
    sum_ = torch.full_like(s, 2.0 / 13.0)
    for power in (11.0, 9.0, 7.0, 5.0, 3.0, 1.0):
        sum_ = sum_ * square + 2.0 / power
    return sum_ * s


@functools.cache
def product_operation() -> Any:
    """`vaebench::product`: [S, M, K] and [S, K, N] -> [S, M, N]. PyTorch's own where no compiled
    code runs it."""
    library = torch.library.Library("vaebench", "FRAGMENT")
    library.define("product(Tensor a, Tensor b) -> Tensor")
    library.impl("product", lambda a, b: torch.bmm(a, b).contiguous(), "CPU")
    product_operation.library = library  # type: ignore[attr-defined]  # the operation lives as long as its library

    def shape(a: Tensor, b: Tensor) -> Tensor:
        return a.new_empty(a.shape[0], a.shape[1], b.shape[2])

    torch.library.register_fake("vaebench::product", shape, lib=library)
    return torch.ops.vaebench.product.default
