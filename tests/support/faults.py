"""Entries made to be rejected, and what it means that certification rejects them."""

import torch

from vaebench.core.errors import InputError
from vaebench.diagnostics.certify import check_objective, check_posterior, check_prior
from vaebench.models.posteriors import Posterior
from vaebench.objectives import Objective, SameAs

DISCRETE = "exact for discrete codes"

IWAE = {"bound": "lower", "tight": True, "same_as": (SameAs("iwae"),)}


def assert_rejected(name, loss, facts, kind):
    """A fact whose words hold `kind` is among those that fail.

    The exact sums over discrete codes have facts of the same names: they count where named.
    """
    entry = Objective(name, loss, source="", **facts)
    failed = [finding.fact for finding in check_objective(entry) if finding.fails]
    counted = [fact for fact in failed if DISCRETE in kind or DISCRETE not in fact]
    assert [fact for fact in counted if kind in fact], failed


def normalised(t):
    return torch.softmax(t.log_w.detach(), 0)


def grouped(t, groups):
    if t.num_samples % groups:
        raise InputError("groups must divide num_samples")
    return t.log_w.unflatten(0, (groups, -1))


def failing(entry):
    return {*failed_facts(entry)}


def failed_facts(entry):
    """The facts that fail, one after the other."""
    check = check_posterior if isinstance(entry, Posterior) else check_prior
    return (finding.fact for finding in check(entry) if finding.fails)
