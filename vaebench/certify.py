"""Certification: what objectives declare, checked against a model whose log p(x) is exact.

The linear-Gaussian VAE: z ~ N(0, I), x|z ~ N(Wz + b, sigma^2 I), q(z|x) = N(Vx + c, diag(s^2)).
With orthogonal columns in W the true posterior is diagonal, so that q can be exactly right; V, c
and s moved away from it make q wrong in a known way (Lucas et al. 2019).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vaebench.likelihoods import LIKELIHOODS
from vaebench.models import VAE, LinearEncoder, StackedLinear, build
from vaebench.noise import Noise, key, normals
from vaebench.objectives import OBJECTIVES, Objective
from vaebench.terms import Terms, compute_terms

PIXELS, LATENT, SIGMA = 5, 3, 0.7
NUM_DRAWS = 20_000
"""Independent draws behind every expectation: copies of one x, each with noise of its own."""
NUM_ERRORS = 4.5
"""Standard errors that an expectation may be off by: a false alarm in 150,000 checks."""
ROUNDING = 1e-9
NUM_SAMPLES = 5


AXES = {"mu": 0, "log_var": 0, "z": 1, "kl": 0, "log_px_z": 1}
"""The fields of Terms, with the position of their axis of runs; that of examples is the next."""


@dataclass(frozen=True)
class Finding:
    """One declared fact and what was found of it."""

    objective: str
    fact: str
    off_by: float
    """How far the fact is from holding, in nats: at most `allowed` where it holds."""
    allowed: float

    @property
    def holds(self) -> bool:
        return self.off_by <= self.allowed

    def as_row(self) -> dict[str, str]:
        """For a table."""
        return {
            "objective": self.objective,
            "fact": self.fact,
            "off by (nats)": f"{self.off_by:.3g}",
            "allowed": f"{self.allowed:.3g}",
            "result": "holds" if self.holds else "FAILS",
        }


def linear_gaussian(wrong: float) -> VAE:
    """The model in float64, one run; q is the true posterior where `wrong` is 0."""
    nowhere = Noise((key("certify"),))
    model = build(
        "linear",
        pixels=PIXELS,
        latent_dim=LATENT,
        widths=(),
        likelihood=LIKELIHOODS["gaussian"],
        hyper={"sigma": SIGMA},
        noise=nowhere,
    ).double()
    model.requires_grad_(False)
    encoder, decoder = model.encoder, model.decoder
    assert isinstance(encoder, LinearEncoder)
    assert isinstance(decoder, StackedLinear)
    columns = torch.linalg.qr(normals(nowhere, 1, PIXELS, LATENT)[0, 0].double()).Q
    weight = columns * torch.tensor([2.0, 1.0, 0.5], dtype=torch.float64)
    shift = 0.3 * normals(nowhere.at(step=1), 1, 1, PIXELS)[0].double()
    posterior_var = 1.0 / (1.0 + weight.square().sum(0) / SIGMA**2)
    gain = weight * posterior_var / SIGMA**2
    decoder.weight.copy_(weight.T[None])
    decoder.bias.copy_(shift)
    encoder.mu.weight.copy_(gain[None] * (1 - 0.5 * wrong))
    encoder.mu.bias.copy_(0.4 * wrong - shift @ gain)
    encoder.log_var.copy_(posterior_var.log().expand_as(encoder.log_var) + 0.6 * wrong)
    return model


def exact_log_px(model: VAE, x: Tensor) -> Tensor:
    """log N(x; b, WW' + sigma^2 I): [N, P] -> [N]."""
    assert isinstance(model.decoder, StackedLinear)
    weight, bias = model.decoder.weight[0], model.decoder.bias[0, 0]
    covariance = weight.T @ weight + SIGMA**2 * torch.eye(PIXELS, dtype=torch.float64)
    return torch.distributions.MultivariateNormal(bias, covariance).log_prob(x)


def example() -> Tensor:
    """The x that the checks are made on: [P]."""
    return normals(Noise((key("certify"),), step=2), 1, 1, PIXELS)[0, 0, 0].double()


def draws(model: VAE, num_samples: int, stream: str = "draws", spread: float = 0.0) -> Terms:
    """Terms of many copies of one x, [K, 1, NUM_DRAWS]; scaled by 1 +- spread, if there is any."""
    scale = torch.linspace(1.0 - spread, 1.0 + spread, NUM_DRAWS, dtype=torch.float64)
    x = (example() * scale[:, None])[None]
    return compute_terms(model, x, Noise((key(stream),)), num_samples=num_samples)


def certify(names: Sequence[str] = ()) -> list[Finding]:
    """Check every declared fact of the named objectives, or of all. Raises InputError."""
    chosen = [OBJECTIVES[name] for name in names] or list(OBJECTIVES.values())
    return [finding for objective in chosen for finding in check(objective)]


def check(objective: Objective) -> Iterator[Finding]:
    """Every declared fact of one objective, where its losses have the right shape."""
    shape, *others = _check_stack(objective)
    yield shape
    if not shape.holds:
        return
    yield from others
    yield from _check_bound(objective)
    yield from _check_identities(objective)
    yield from _check_orderings(objective)
    yield from _check_hyperparameters(objective)
    yield from _check_warm_up(objective)
    yield from _check_scale(objective)


def _check_bound(objective: Objective) -> Iterator[Finding]:
    """E[-loss] <= log p(x), with equality at the true posterior where it is tight."""
    model = linear_gaussian(wrong=1.0)
    log_px = float(exact_log_px(model, example()))
    for hyper in _bounding_hypers(objective):
        values = -objective.loss(draws(model, NUM_SAMPLES), **hyper)
        yield _at_most(objective, f"lower bound on log p(x){_shown(hyper)}", values - log_px)
    if objective.tight:
        exact = draws(linear_gaussian(wrong=0.0), NUM_SAMPLES)
        values = -objective.loss(exact, **_defaults(objective))
        yield _equal(objective, "equals log p(x) at the true posterior", values - log_px)


def _check_identities(objective: Objective) -> Iterator[Finding]:
    for same in objective.same_as:
        terms = draws(linear_gaussian(wrong=1.0), same.num_samples or NUM_SAMPLES)
        ours = objective.loss(terms, **(_defaults(objective) | dict(same.at)))
        other = OBJECTIVES[same.other]
        theirs = other.loss(terms, **(_defaults(other) | dict(same.other_at)))
        conditions = dict(same.at) | ({"K": same.num_samples} if same.num_samples else {})
        fact = f"same as {same.other}{_shown(same.other_at)}{_shown(conditions)}"
        if same.exact:
            yield Finding(objective.name, fact, float((ours - theirs).abs().max()), ROUNDING)
            slopes = (_slopes(objective, terms, same.at), _slopes(other, terms, same.other_at))
            off_by = max(float((a - b).abs().max()) for a, b in zip(*slopes, strict=True))
            yield Finding(objective.name, f"{fact}, and so its gradient", off_by, ROUNDING)
        else:
            yield _equal(objective, f"{fact} in expectation", ours - theirs)


def _slopes(objective: Objective, terms: Terms, at: Mapping[str, float]) -> list[Tensor]:
    """The gradient of the summed loss in each field of the terms."""
    leaves = {name: getattr(terms, name).clone().requires_grad_() for name in AXES}
    loss = objective.loss(Terms(**leaves), **(_defaults(objective) | dict(at))).sum()
    return list(torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True))


def _check_orderings(objective: Objective) -> Iterator[Finding]:
    model = linear_gaussian(wrong=1.0)
    hyper = _defaults(objective)
    for name in objective.no_looser_than:
        terms, other = draws(model, NUM_SAMPLES), OBJECTIVES[name]
        excess = objective.loss(terms, **hyper) - other.loss(terms, **_defaults(other))
        yield _at_most(objective, f"no looser than {name}", excess)
    if objective.tighter_with_samples:
        for few, many in ((1, 5), (5, 50)):
            losses = [objective.loss(draws(model, k, f"K={k}"), **hyper) for k in (few, many)]
            fact = f"tighter with K={many} than with K={few}"
            yield _at_most(objective, fact, losses[1] - losses[0])


def _check_hyperparameters(objective: Objective) -> Iterator[Finding]:
    """A hyperparameter that changes nothing is one that is silently unused."""
    terms = draws(linear_gaussian(wrong=1.0), NUM_SAMPLES)
    defaults = _defaults(objective)
    for name, value in defaults.items():
        moved = objective.loss(terms, **(defaults | {name: 1.5 * value + 0.1}))
        change = float((moved - objective.loss(terms, **defaults)).abs().max())
        yield Finding(objective.name, f"{name} changes the loss", ROUNDING - change, 0.0)


def _check_warm_up(objective: Objective) -> Iterator[Finding]:
    """A weight on the rate reaches the loss, or is declared not to."""
    terms = draws(linear_gaussian(wrong=1.0), NUM_SAMPLES)
    weighted = dataclasses.replace(terms, rate_weight=0.5)
    hyper = _defaults(objective)
    change = float((objective.loss(terms, **hyper) - objective.loss(weighted, **hyper)).abs().max())
    if objective.ignores_rate:
        yield Finding(objective.name, "ignores a weight on the rate", change, ROUNDING)
    else:
        yield Finding(objective.name, "a weight on the rate counts", ROUNDING - change, 0.0)


def _check_scale(objective: Objective) -> Iterator[Finding]:
    """Nats per example: the losses of half a batch do not depend on the other half."""
    terms = draws(linear_gaussian(wrong=1.0), NUM_SAMPLES, spread=0.5)
    hyper = _defaults(objective)
    half = Terms(
        **{n: getattr(terms, n).narrow(run + 1, 0, NUM_DRAWS // 2) for n, run in AXES.items()}
    )
    whole = objective.loss(terms, **hyper)[..., : NUM_DRAWS // 2]
    difference = whole - objective.loss(half, **hyper)
    fact = "nats per example, whatever the batch"
    yield Finding(objective.name, fact, float(difference.abs().max()), ROUNDING)


def _check_stack(objective: Objective) -> Iterator[Finding]:
    """One loss per run and example, which a stack-mate does not change."""
    terms, other = (
        draws(linear_gaussian(wrong=wrong), NUM_SAMPLES, stream)
        for wrong, stream in ((1.0, "draws"), (0.5, "mate"))
    )
    both = Terms(
        **{n: torch.cat([getattr(terms, n), getattr(other, n)], run) for n, run in AXES.items()}
    )
    hyper = _defaults(objective)
    alone, stacked = objective.loss(terms, **hyper), objective.loss(both, **hyper)
    fits = tuple(stacked.shape) == (2, NUM_DRAWS)
    fact = "one loss per run and example"
    yield Finding(objective.name, fact, 0.0 if fits else math.inf, 0.0)
    if fits:
        difference = float((stacked[:1] - alone).abs().max())
        yield Finding(objective.name, "blind to its stack-mates", difference, ROUNDING)


def _bounding_hypers(objective: Objective) -> Iterator[Mapping[str, float]]:
    """The defaults and the ends of the declared intervals, where the bound is declared to hold."""
    candidates = [_defaults(objective)]
    for name, limits in objective.bound_for.items():
        candidates += [_defaults(objective) | {name: v} for v in limits if math.isfinite(v)]
    return (hyper for hyper in candidates if objective.is_bound_at(hyper))


def _defaults(objective: Objective) -> dict[str, float]:
    """The default hyperparameters; the middle of the range to search for one without a default."""
    values = {}
    for name, hyper in objective.hyper.items():
        low, high = hyper.search or (0.5, 2.0)
        values[name] = 0.5 * (low + high) if hyper.default is None else hyper.default
    return values


def _at_most(objective: Objective, fact: str, values: Tensor) -> Finding:
    """E[values] <= 0, up to the standard error."""
    return Finding(objective.name, fact, float(values.mean()), _allowance(values))


def _equal(objective: Objective, fact: str, values: Tensor) -> Finding:
    """E[values] = 0, up to the standard error."""
    return Finding(objective.name, fact, abs(float(values.mean())), _allowance(values))


def _allowance(values: Tensor) -> float:
    return NUM_ERRORS * float(values.std()) / math.sqrt(values.numel()) + ROUNDING


def _shown(hyper: Mapping[str, float]) -> str:
    inside = ", ".join(f"{name}={value:g}" for name, value in hyper.items())
    return f" at {inside}" if inside else ""
