"""The operations as they are checked and timed: inputs, formulas, and the least traffic.

Axes: K samples, S runs, B rows, D columns or pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType

import torch
from torch import Tensor

from vaebench.ops import densities
from vaebench.ops.noise import Noise, key

Tensors = tuple[Tensor, ...]


@dataclass(frozen=True)
class Case:
    """One operation at one size."""

    op: str
    num_samples: int
    num_runs: int
    num_rows: int
    num_columns: int
    dtype: torch.dtype
    device: torch.device

    @property
    def operation(self) -> Operation:
        return OPERATIONS[self.op]

    @property
    def size(self) -> str:
        """The shape as K x S x B x D."""
        return "x".join(map(str, self.shape))

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return self.num_samples, self.num_runs, self.num_rows, self.num_columns

    @property
    def num_elements(self) -> int:
        """The elements of the largest tensor."""
        K, S, B, D = self.shape
        return K * S * B * (1 if self.op == "importance_weights" else D)

    def traffic(self, direction: str) -> int:
        """The fewest bytes to move: each tensor read or written once, and the rows' numbers."""
        K, S, B, D = self.shape
        count = self.operation.traffic[direction](K)
        width = 1 if self.op == "importance_weights" else D
        return S * B * (count.elements * width * self.dtype.itemsize + 4 * count.floats(width))

    def noise(self, step: int = 0, row: int = 0) -> Noise:
        keys = tuple(key("timing", run) for run in range(self.num_runs))
        return Noise(keys, step=step, first_row=row)


@dataclass(frozen=True)
class Count:
    """Tensors of S x B rows that a pass reads or writes: numbers in the dtype of the data for each
    element; float32 for each element and each row."""

    elements: int
    per_element: int = 0
    per_row: int = 0

    def floats(self, width: int) -> int:
        return self.per_element * width + self.per_row


@dataclass(frozen=True)
class Operation:
    """How one operation is called, and what it is by the plain formulas."""

    call: Callable[[ModuleType, Tensors, Noise, int], Tensors]
    """(a module with the operations, inputs, noise, K) -> results."""
    formula: Callable[[Tensors, Tensor], Tensors]
    """(inputs, normals [K, S, B, D]) -> results: what one would write without this package."""
    inputs: Callable[[Case, torch.Generator], Tensors]
    """On the CPU in float32; those with a gradient come last."""
    num_fixed: int
    """The first inputs, which have no gradient."""
    results: Mapping[str, int]
    """Their names, and the axis of the B rows in each."""
    gradients: tuple[str, ...]
    """Names of the gradients to the other inputs."""
    traffic: Mapping[str, Callable[[int], Count]]
    input_axis: int = -2
    """The axis of the B rows in the inputs."""
    draws: bool = False
    """Whether it draws its own noise."""
    num_free: int = 0
    """The last results that have no gradient."""


def make_inputs(case: Case) -> Tensors:
    """The inputs on the device, gradients wanted for all but the first fixed ones."""
    generator = torch.Generator().manual_seed(0)
    on_cpu = case.operation.inputs(case, generator)
    on_device = [x.to(case.device, case.dtype) for x in on_cpu]
    return tuple(
        x.requires_grad_() if i >= case.operation.num_fixed else x for i, x in enumerate(on_device)
    )


def _halves(case: Case, generator: torch.Generator) -> Tensors:
    """mu and log_var, halves of one tensor, as an encoder makes them."""
    _, S, B, D = case.shape
    mu, log_var = torch.randn(S, B, 2 * D, generator=generator).to(case.dtype).chunk(2, -1)
    return mu, log_var


def _pixels(parameters: int, binary: bool = False) -> Callable[..., Tensors]:
    """x on the levels of 8 bits, and parameters per pixel: 0 for one more that is per row."""

    def make(case: Case, generator: torch.Generator) -> Tensors:
        K, S, B, P = case.shape
        levels = torch.randint(0, 256, (S, B, P), generator=generator)
        x = (levels > 127).float() if binary else levels / 255
        a, b = (torch.randn(K, S, B, P, generator=generator) for _ in range(2))
        if parameters == 0:
            return x, a, torch.randn(S, B, 1, generator=generator)
        return (x, a, b)[: 1 + parameters]

    return make


def _log_weights(case: Case, generator: torch.Generator) -> Tensors:
    return (torch.randn(*case.shape[:3], generator=generator),)


def _latent(name: str, formula: Callable[..., Tensors], **options: bool) -> dict[str, object]:
    def call(module: ModuleType, inputs: Tensors, noise: Noise, num_samples: int) -> Tensors:
        results: Tensors = getattr(module, name)(*inputs, noise, num_samples, **options)
        return results

    return {
        "call": call,
        "formula": lambda inputs, eps: formula(*inputs, eps),
        "inputs": _halves,
        "num_fixed": 0,
        "gradients": ("dmu", "dlog_var"),
        "draws": True,
    }


def _kl(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensors:
    return densities.reparameterise(mu, log_var, eps), densities.gaussian_kl(mu, log_var)


def _kl_per_dimension(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensors:
    kl = densities.gaussian_kl_per_dimension(mu, log_var)
    return densities.reparameterise(mu, log_var, eps), kl


def _log_probs(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensors:
    z = densities.reparameterise(mu, log_var, eps)
    log_q = densities.gaussian_log_prob(z, mu, log_var)
    return z, log_q, densities.standard_normal_log_prob(z)


def _path(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensors:
    z = densities.reparameterise(mu, log_var, eps)
    log_q = densities.gaussian_log_prob(z, mu.detach(), log_var.detach())
    return z, log_q, densities.standard_normal_log_prob(z)


def _both(forward: Callable[[int], Count], backward: Callable[[int], Count]) -> dict[str, object]:
    return {"traffic": {"forward": forward, "backward": backward}}


def _operation(*parts: Mapping[str, object], **more: object) -> Operation:
    fields: dict[str, object] = {}
    for part in parts:
        fields |= part
    return Operation(**fields, **more)  # type: ignore[arg-type]


def _law(name: str, parameters: int, binary: bool = False) -> Operation:
    """A likelihood: x once for all samples, each parameter once for each, and its gradient."""

    def call(module: ModuleType, inputs: Tensors, noise: Noise, num_samples: int) -> Tensors:
        return (getattr(module, name)(*inputs),)

    per_row = parameters == 0
    whole = max(1, parameters)
    return Operation(
        call=call,
        formula=lambda inputs, eps: (getattr(densities, name)(*inputs),),
        inputs=_pixels(parameters, binary),
        num_fixed=1,
        results={"log_prob": -1},
        gradients=tuple(f"d_parameter_{i + 1}" for i in range(whole + per_row)),
        traffic={
            "forward": lambda K: Count(K * whole + 1, per_row=K * (1 + per_row)),
            "backward": lambda K: Count(2 * K * whole + 1, per_row=K * (1 + 2 * per_row)),
        },
    )


def _weigh(module: ModuleType, inputs: Tensors, noise: Noise, num_samples: int) -> Tensors:
    results: Tensors = module.importance_weights(*inputs)
    return results


OPERATIONS: dict[str, Operation] = {
    "reparameterise_kl": _operation(
        _latent("reparameterise_kl", _kl),
        _both(lambda K: Count(2 + K, per_row=1), lambda K: Count(4 + K, per_row=1)),
        results={"z": -2, "kl": -1},
    ),
    "reparameterise_kl_per_dimension": _operation(
        _latent("reparameterise_kl_per_dimension", _kl_per_dimension),
        _both(lambda K: Count(2 + K, per_element=1), lambda K: Count(4 + K, per_element=1)),
        results={"z": -2, "kl": -2},
    ),
    **{
        f"reparameterise_log_probs{suffix}": _operation(
            _latent("reparameterise_log_probs", formula, path=bool(suffix)),
            _both(lambda K: Count(2 + K, per_row=2 * K), lambda K: Count(4 + K, per_row=2 * K)),
            results={"z": -2, "log_qz_x": -1, "log_pz": -1},
        )
        for suffix, formula in (("", _log_probs), (" path", _path))
    },
    "importance_weights": Operation(
        call=_weigh,
        formula=lambda inputs, eps: densities.importance_weights(*inputs),
        inputs=_log_weights,
        num_fixed=0,
        results={"log_mean_exp": -1, "weights": -1, "ess": -1},
        gradients=("dlog_w",),
        traffic={
            "forward": lambda K: Count(2 * K, per_row=2),
            "backward": lambda K: Count(2 * K, per_row=1),
        },
        input_axis=-1,
        num_free=2,
    ),
    "bernoulli_log_prob": _law("bernoulli_log_prob", 1, binary=True),
    "gaussian_log_prob": _law("gaussian_log_prob", 2),
    "gaussian_log_prob per row": _law("gaussian_log_prob", 0),
    "continuous_bernoulli_log_prob": _law("continuous_bernoulli_log_prob", 1),
    "discretised_logistic_log_prob": _law("discretised_logistic_log_prob", 2),
}
"""By the name of the function, and of a variant."""
