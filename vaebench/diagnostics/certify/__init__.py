"""Certification: what entries of the registries declare, checked against exact answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from vaebench.core.errors import InputError, near_match
from vaebench.core.registry import Registry
from vaebench.diagnostics.certify import likelihood, model, posterior, prior
from vaebench.diagnostics.certify.derivation import Step, derivation
from vaebench.diagnostics.certify.exact.chain import CHAINS
from vaebench.diagnostics.certify.exact.linear_gaussian import exact_log_px, linear_gaussian
from vaebench.diagnostics.certify.finding import Finding
from vaebench.diagnostics.certify.likelihood import check_likelihood
from vaebench.diagnostics.certify.model import check_model
from vaebench.diagnostics.certify.objectives import extremes
from vaebench.diagnostics.certify.objectives.aggregate_posterior import check_aggregate
from vaebench.diagnostics.certify.objectives.facts import check_objective
from vaebench.diagnostics.certify.objectives.layers import check_layers
from vaebench.diagnostics.certify.posterior import check_posterior
from vaebench.diagnostics.certify.prior import check_prior
from vaebench.models import MODELS
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.models.posteriors import POSTERIORS
from vaebench.models.priors import PRIORS
from vaebench.objectives import OBJECTIVES

Check = Callable[[Any], Iterator[Finding]]

CHECKS: dict[str, tuple[Registry[Any], tuple[Check, ...]]] = {
    "objectives": (OBJECTIVES, (check_objective, check_aggregate)),
    "likelihoods": (LIKELIHOODS, (check_likelihood,)),
    "priors": (PRIORS, (check_prior,)),
    "posteriors": (POSTERIORS, (check_posterior,)),
    "models": (MODELS, (check_model,)),
}
"""Each registry whose entries declare facts, and what checks them, by kind."""


WITH_POSTERIOR: dict[str, Check] = {name: partial(check_layers, posterior=name) for name in CHAINS}
"""What checks objectives with another posterior than the usual one, by its name."""


def certify(
    names: Sequence[str] = (), kind: str | None = None, posterior: str | None = None
) -> list[Finding]:
    """Every declared fact of the named entries, or of all; of one kind or of all.

    `posterior`: only those of objectives, with this posterior. Raises InputError for an unknown
    name. Whatever an entry raises is a finding that fails.
    """
    if posterior is not None and posterior not in WITH_POSTERIOR:
        raise InputError(
            f"objectives are certified with a posterior whose answers are exact; "
            f"{near_match(posterior, WITH_POSTERIOR)}"
        )
    if posterior is not None and kind not in (None, "objectives"):
        raise InputError(f"a posterior is for objectives; got kind {kind!r}: leave one out")
    checks_of = CHECKS
    if posterior is not None:
        checks_of = {"objectives": (OBJECTIVES, (WITH_POSTERIOR[posterior],))}
    chosen = [checks_of[kind]] if kind else [*checks_of.values()]
    known = {name for registry, _ in chosen for name in registry}
    for name in names:
        if name not in known:
            raise InputError(f"nothing to certify is named {name!r}; {near_match(name, known)}")
    return [
        replace(finding, kind=registry.kind)
        for registry, checks in chosen
        for name in registry
        if not names or name in names
        for check in checks
        for finding in _findings(check, name, registry[name])
    ]


def covered() -> dict[str, str]:
    """The range that the checks cover, in words, by kind of entry."""
    return {
        OBJECTIVES.kind: extremes.covered(),
        LIKELIHOODS.kind: likelihood.covered(),
        PRIORS.kind: prior.covered(),
        POSTERIORS.kind: posterior.covered(),
        MODELS.kind: model.covered(),
    }


def _findings(check: Check, name: str, entry: Any) -> Iterator[Finding]:
    try:
        yield from check(entry)
    except Exception as error:  # a plugin may raise anything, and the others are still to check
        fact = f"can be checked: it raised {type(error).__name__}: {error}"
        yield Finding(name, fact, math.inf, 0.0, unit="")


__all__ = [
    "CHECKS",
    "WITH_POSTERIOR",
    "Finding",
    "Step",
    "certify",
    "check_aggregate",
    "check_layers",
    "check_likelihood",
    "check_model",
    "check_objective",
    "check_posterior",
    "check_prior",
    "covered",
    "derivation",
    "exact_log_px",
    "linear_gaussian",
]
