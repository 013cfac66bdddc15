"""What is measured: the variants of a study at every K, and what each gradient should be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
from msgspec.structs import replace

from vaebench.config import Choice, RunConfig
from vaebench.config.compatibility import refusal
from vaebench.config.study import Study, expand
from vaebench.core.errors import InputError
from vaebench.diagnostics.gradients.moments import NUM_BLOCKS
from vaebench.diagnostics.gradients.replicas import with_objective
from vaebench.objectives import OBJECTIVES
from vaebench.objectives.entry import Side

EARLY = 50
"""The default early checkpoint is this fraction of training: 1 / EARLY."""
SHARED = ("likelihood", "posterior", "prior", "data", "model", "train")
"""The fields that decide weights and minibatch, and so must be the same for all variants."""


@dataclass(frozen=True)
class GradientPlan:
    """The variants, one configuration each, and where and how often their gradients are taken."""

    study: str
    variants: tuple[RunConfig, ...]
    samples: tuple[int, ...]
    replicas: int
    at: tuple[int, ...]

    @property
    def num_cells(self) -> int:
        """Variants times K times checkpoints."""
        return len(self.variants) * len(self.samples) * len(self.at)

    @property
    def trained(self) -> RunConfig:
        """The run that gives the weights: the plain ELBO of one sample."""
        first = replace(self.variants[0], rate_weight=1.0)
        both = [with_objective(first, Choice(name), 1) for name in ("elbo", "elbo_mc")]
        return next((c for c in both if not refused(c)), both[0])


def read_configs(study: Study, samples: Sequence[int]) -> list[RunConfig]:
    """The runs of a study, which need not state a K: --samples does.

    Some objectives are refused at the usual K = 1. Raises InputError.
    """
    _check_samples(samples)
    return expand(replace(study, base={"num_samples": max(samples), **study.base}))


def plan(
    study: str,
    configs: Sequence[RunConfig],
    samples: Sequence[int],
    replicas: int,
    at: Sequence[int] = (),
) -> GradientPlan:
    """The variants of a study, with the K and the checkpoints at which they are measured.

    Of runs that differ only in seed and K the first stands for all. Raises InputError.
    """
    _check_shared(configs)
    num_steps = configs[0].train.num_steps
    steps = at or (num_steps // EARLY, num_steps)
    _check_samples(samples)
    if replicas < 2 * NUM_BLOCKS:
        raise InputError(f"there must be at least {2 * NUM_BLOCKS} replicas; got {replicas}")
    if min(steps) < 0 or max(steps) > num_steps:
        raise InputError(
            f"checkpoints must lie within training, 0 to {num_steps} steps (train.num_steps); "
            f"got {_listed(steps)}"
        )
    return GradientPlan(
        study, _variants(configs), tuple(sorted(set(samples))), replicas, tuple(sorted(set(steps)))
    )


def refused(config: RunConfig) -> str:
    """Why the gradient of this run cannot be measured; "" where it can."""
    entry = OBJECTIVES[config.objective.name]
    if entry.auxiliary:
        return (
            "it learns from a network that is trained beside the model, which weights trained by "
            "another objective do not have"
        )
    hyper = config.objective.hyper
    return refusal(
        config.objective.name,
        config.likelihood.name,
        config.posterior.name,
        config.prior.name,
        config.num_samples,
        tuple((name, int(_number(hyper[name]))) for name in entry.counts),
    )


def target(config: RunConfig, side: Side) -> RunConfig:
    """The run whose expected gradient this side's gradient must equal, at the same K.

    Declared by gradient_of, or by an identity in expectation; otherwise the run itself.
    """
    entry, ours = OBJECTIVES[config.objective.name], config.objective.hyper
    named: list[tuple[str, Mapping[str, float]]] = []
    if side in entry.gradient_of:
        named.append((entry.gradient_of[side].other, entry.gradient_of[side].other_at))
    else:
        for same in entry.same_as:
            here = all(ours.get(name) == value for name, value in same.at.items())
            if here and not same.exact and same.num_samples in (None, config.num_samples):
                named.append((same.other, same.other_at))
    for other, other_at in named:
        hyper = hyperparameters_of(other, other_at, ours)
        candidate = with_objective(config, Choice(other, hyper), config.num_samples)
        if not refused(candidate):
            return candidate
    return config


def hyperparameters_of(
    other: str, other_at: Mapping[str, float], ours: Mapping[str, float | Choice]
) -> dict[str, float | Choice]:
    """The hyperparameters of the objective that a fact names.

    The fact is declared at the defaults: a hyperparameter that both objectives have is the same in
    both.
    """
    values = {**other_at, **ours}
    declared = OBJECTIVES[other].hyper.items()
    return {name: values.get(name, hyper.default or 0.0) for name, hyper in declared}


def name_of(config: RunConfig) -> str:
    """The name of the variant, without its K."""
    return replace(config, num_samples=1).variant


def _variants(configs: Sequence[RunConfig]) -> tuple[RunConfig, ...]:
    variants: dict[str, RunConfig] = {}
    for config in configs:
        variants.setdefault(name_of(config), replace(config, seed=configs[0].seed))
    return tuple(variants.values())


def _check_samples(samples: Sequence[int]) -> None:
    if not samples or min(samples) < 1:
        raise InputError(f"samples must be whole numbers of at least 1; got {_listed(samples)}")


def _check_shared(configs: Sequence[RunConfig]) -> None:
    for field in SHARED:
        kinds = {msgspec.json.encode(getattr(c, field), order="deterministic") for c in configs}
        if len(kinds) > 1:
            raise InputError(
                f"gradients are compared on the same weights and data, so {field} must be one for "
                f"all runs of the study; got {len(kinds)}: fix it with --set"
            )


def _number(value: float | Choice) -> float:
    assert not isinstance(value, Choice), "a count has no schedule"
    return value


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers)) or "none"
