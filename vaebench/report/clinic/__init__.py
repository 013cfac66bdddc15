"""What went wrong with a run, by its recorded figures: rules that name it and say what to try.

case.py      what the rules look at
codes.py     rules about what the code carries
training.py  rules about how training went
trust.py     rules about figures that say less than they seem to
summary.py   what the rules say of all runs of a folder
"""

from vaebench.report.clinic.case import Case, Finding, Rule
from vaebench.report.clinic.codes import (
    amortisation_gap,
    dead_layers,
    posterior_collapse,
    unused_dimensions,
    weight_on_another_scale,
)
from vaebench.report.clinic.summary import Complaint, complaints, names_of
from vaebench.report.clinic.training import diverged, not_converged, overfitted
from vaebench.report.clinic.trust import doubted_nll, memorised

RULES: tuple[Rule, ...] = (
    diverged,
    not_converged,
    overfitted,
    posterior_collapse,
    weight_on_another_scale,
    unused_dimensions,
    dead_layers,
    amortisation_gap,
    memorised,
    doubted_nll,
)
"""Each says of a run what is wrong, or None."""


def explain(case: Case) -> list[Finding]:
    """Give what the rules find wrong with a run."""
    return [finding for rule in RULES if (finding := rule(case))]


__all__ = ["RULES", "Case", "Complaint", "Finding", "complaints", "explain", "names_of"]
