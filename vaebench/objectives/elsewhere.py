"""The objectives as plain functions, for a training loop from elsewhere: one run, no axis of runs.

Shapes: B examples, K posterior samples, D latent dimensions; log p(x|z) is [B] or [K, B], and z has
D numbers more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node, get_gradient_edge

from vaebench.core.arguments import shown
from vaebench.core.errors import InputError
from vaebench.core.hyper import Scalar, complete
from vaebench.models.given import GivenPosterior, GivenPrior, posterior_of, prior_of
from vaebench.models.posteriors import Latent
from vaebench.models.terms import RATE_WEIGHT, Terms
from vaebench.objectives.entry import OBJECTIVES, Objective
from vaebench.ops.noise import Noise

Trained = Literal["model", "critic"]
Reduction = Literal["mean", "sum", "none"]
REDUCTIONS: Mapping[Reduction, Callable[[Tensor], Tensor]] = {
    "mean": torch.mean,
    "sum": torch.sum,
    "none": lambda loss: loss,
}


def loss(
    name: str,
    *,
    q: GivenPosterior,
    log_px_z: Tensor,
    z: Tensor,
    prior: GivenPrior = "standard_normal",
    reduction: Reduction = "mean",
    rate_weight: Scalar = 1.0,
    num_examples: int | None = None,
    critic: nn.Module | None = None,
    of: Trained = "model",
    state: MutableMapping[str, Tensor] | None = None,
    **hyper: Scalar,
) -> Tensor:
    """An objective of the registry on your own tensors: what to minimise, in nats.

    `z`: samples of q(z|x) by `rsample`, [B, D], or [K, B, D] of K samples. `log_px_z`: log p(x|z)
    of those very samples, with all constants, [B] or [K, B]. `q`: a torch.distributions object over
    the B codes, (mu, log_var) [B, D] each, or log q(z|x) of the samples. `prior`: likewise, one for
    all examples or one for each. `reduction`: over examples, "mean" (a scalar, as the suite
    trains), "sum" or "none" ([B]). `rate_weight`: what a KL warm-up multiplies the rate by.
    `hyper`: the objective's own, see `vaebench list objectives`.

    Some need more. `num_examples`: the size of the training set, for beta_tc. `state`: a dict that
    the objective keeps from step to step, {} at first, for geco. `critic`: the network that
    factor_vae trains, codes [n, D] -> log-odds [n]; `of="critic"` is that network's own loss.

    An estimator such as dreg weighs the gradient that goes through z on to q: beside its loss add
    to what you differentiate only what does not depend on z. Raises InputError for what is missing
    or does not fit.
    """
    entry = OBJECTIVES[name]
    if state is not None and not isinstance(state, MutableMapping):
        raise InputError(f"state must be a dict that the objective keeps; got {shown(state)}")
    terms = _terms(entry, q, log_px_z, z, prior, rate_weight, num_examples, critic)
    if not isinstance(reduction, str) or reduction not in REDUCTIONS:
        raise InputError(f"reduction must be one of {', '.join(REDUCTIONS)}; got {reduction!r}")
    if of not in get_args(Trained):
        raise InputError(f"of must be one of {', '.join(get_args(Trained))}; got {of!r}")
    if of == "critic":
        if entry.auxiliary is None:
            raise InputError(f"objective {name!r} trains no network of its own: leave out of=")
        return REDUCTIONS[reduction](entry.auxiliary.loss(terms)[0])
    scalars = _scalars(entry, hyper, z) | _state(entry, state, z)
    value = entry(terms, **scalars)[0]
    if entry.update is not None and state is not None:
        with torch.no_grad():
            state.update(entry.update(terms, **scalars))
    return REDUCTIONS[reduction](value)


NO_SAMPLES = torch.empty(0)


@dataclass(frozen=True)
class GivenTerms(Terms):
    """Terms whose samples and log-likelihoods were computed elsewhere."""

    samples: Tensor = NO_SAMPLES
    """The tensor that was given, of which `z` is a view with an axis of runs."""
    densities: Mapping[str, Tensor] = field(default_factory=dict)
    """The log-densities of the samples that were given, by the name of their argument."""

    @property
    def decoded(self) -> Tensor:
        """The given samples. Raises InputError where a density was not computed from them."""
        for name, density in self.densities.items():
            if density.requires_grad and not _is_from(density, self.samples):
                raise InputError(
                    f"{name} must be computed from the very tensor that is given as z, as this "
                    f"estimator weighs the gradient on its way through it; it is not: decode z "
                    f"itself, reshape within the decoder, not before, and compile encoder and "
                    f"decoder apart"
                )
        return self.samples


def _terms(
    entry: Objective,
    q: GivenPosterior,
    log_px_z: Tensor,
    z: Tensor,
    prior: GivenPrior,
    rate_weight: Scalar,
    num_examples: int | None,
    critic: nn.Module | None,
) -> GivenTerms:
    """What the objective sees. Raises InputError for what is missing or has another shape."""
    codes, log_likelihood = _with_samples(z, log_px_z)
    _check_needs(entry, codes, rate_weight, num_examples, critic)
    if isinstance(q, Tensor) and q.dim() == 1:
        q = q[None]
    if isinstance(prior, Tensor) and prior.dim() == 1:
        prior = prior[None]
    posterior = posterior_of(q, *codes.shape)
    _check_drawn(posterior, z)
    return GivenTerms(
        posterior,
        codes[:, None],
        log_likelihood[:, None],
        prior_of(prior, posterior, codes),
        rate_weight=_one_run(rate_weight),
        num_examples=num_examples or 0,
        latent=Latent(z.shape[-1]),
        family="given",
        noise=fresh_noise(),
        auxiliary=None if critic is None else OneRun(critic),
        samples=z,
        densities={"log_px_z": log_px_z} | ({"prior": prior} if isinstance(prior, Tensor) else {}),
    )


def _with_samples(z: Tensor, log_px_z: Tensor) -> tuple[Tensor, Tensor]:
    """Codes [K, B, D] and their log-likelihoods [K, B], K = 1 where they had no such axis."""
    for what, values in (("z", z), ("log_px_z", log_px_z)):
        if not isinstance(values, Tensor):
            raise InputError(f"{what} must be a tensor; got {type(values).__name__}")
    if z.dim() not in (2, 3):
        raise InputError(f"z must be [B, D], or [K, B, D] of K samples; got {tuple(z.shape)}")
    if log_px_z.shape != z.shape[:-1]:
        raise InputError(
            f"log_px_z must be summed over pixels and nothing else, {tuple(z.shape[:-1])} for z "
            f"of shape {tuple(z.shape)}; got {tuple(log_px_z.shape)}"
        )
    return (z, log_px_z) if z.dim() == 3 else (z[None], log_px_z[None])


def _check_needs(
    entry: Objective,
    codes: Tensor,
    rate_weight: Scalar,
    num_examples: int | None,
    critic: nn.Module | None,
) -> None:
    """Raises InputError where an objective of codes [K, B, D] needs more, or has no use for it."""
    num_samples, batch_size, _ = codes.shape
    if num_samples < entry.min_samples:
        raise InputError(
            f"objective {entry.name!r} needs {entry.min_samples} samples or more; got "
            f"{num_samples}: draw z by q.rsample((K,))"
        )
    if not isinstance(rate_weight, Tensor):
        RATE_WEIGHT.check("rate_weight", rate_weight)
        if entry.ignores_rate and rate_weight != 1.0:
            raise InputError(f"objective {entry.name!r} has no rate: leave out rate_weight")
    if num_examples is not None and num_examples < batch_size:
        raise InputError(
            f"num_examples must be the size of the training set, at least the {batch_size} "
            f"examples of a minibatch; got {num_examples}"
        )
    if entry.auxiliary is not None and critic is None:
        raise InputError(
            f"objective {entry.name!r} trains a network of its own beside the model: give "
            f"critic=, a module from codes [n, D] to log-odds [n], and minimise "
            f'vb.loss({entry.name!r}, ..., of="critic") for its parameters'
        )


def _check_drawn(posterior: Any, z: Tensor) -> None:
    """Raises InputError where q is to be trained, and its samples have no gradient."""
    parameters = (value for value in vars(posterior).values() if isinstance(value, Tensor))
    if any(p.requires_grad for p in parameters) and torch.is_grad_enabled() and not z.requires_grad:
        raise InputError(
            "z must be drawn by the reparameterisation trick, so that q has a gradient through "
            "it; it has none: use q.rsample(), not q.sample(), and no .detach()"
        )


def _scalars(entry: Objective, hyper: Mapping[str, Scalar], z: Tensor) -> dict[str, Any]:
    """All hyperparameters, checked, with an axis of runs where they are tensors."""
    if unknown := hyper.keys() - entry.hyper.keys():
        listed = ", ".join(entry.hyper) or "none"
        raise InputError(
            f"objective {entry.name!r} has no hyperparameter {min(unknown)!r}; it has: {listed}; "
            f"what weighs the rate of any objective is rate_weight"
        )
    values = complete(f"objective {entry.name!r}", entry.hyper, hyper)
    for name, value in values.items():
        number = float(_one_run(value)) if isinstance(value, Tensor) else value
        entry.hyper[name].check(f"{name} of {entry.name!r}", number)
    return {
        name: int(value) if name in entry.counts else _one_run(value)
        for name, value in values.items()
    }


def _state(entry: Objective, state: Mapping[str, Tensor] | None, z: Tensor) -> dict[str, Tensor]:
    """What the objective keeps from step to step, [1, 1] each."""
    if entry.state and state is None:
        raise InputError(
            f"objective {entry.name!r} keeps {' and '.join(entry.state)} from step to step: give "
            f"state=, a dict that is empty at first, and the same one at every step"
        )
    kept = state or {}
    initial = entry.initial_state
    return {
        name: torch.as_tensor(kept.get(name, initial[name])).to(z).view(1, 1)
        for name in entry.state
    }


def _one_run(value: Scalar) -> Scalar:
    """A scalar as objectives take it: tensors of one number as [1, 1]."""
    if not isinstance(value, Tensor):
        return value
    if value.numel() != 1:
        raise InputError(f"a hyperparameter is one number; got shape {tuple(value.shape)}")
    return value.reshape(1, 1)


class OneRun(nn.Module):
    """A network codes [n, D] -> [n] or [n, 1] with an axis of runs: [1, n, D] -> [1, n, 1]."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, codes: Tensor) -> Tensor:
        return self.network(codes[0]).reshape(1, codes.shape[1], 1)


def fresh_noise() -> Noise:
    """Random numbers that no earlier call read, by torch's own generator."""
    return Noise((int(torch.randint(2**62, ())),))


def _is_from(result: Tensor, source: Tensor) -> bool:
    """Whether the gradient of a tensor goes through another on its way.

    That both come out of one node of the graph, as of one compiled function, does not make it so.
    """
    if result is source or not source.requires_grad:
        return True
    edge = get_gradient_edge(source)
    wanted = edge.node, edge.output_nr
    seen: set[Node] = set()
    waiting = [result.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if wanted in node.next_functions:
            return True
        waiting += [following for following, _ in node.next_functions]
    return False
