"""Rules about figures that say less than they seem to."""

from __future__ import annotations

from vaebench.report.clinic.case import Case, Finding

HIGH_KHAT = 0.25
"""The share of examples with a high k-hat from which the NLL is named: some are usual."""
LOW_ESS = 0.02
"""The effective share of the samples below which the NLL is named."""
COPIES = 0.05
"""The share of drawn images that are copies from which they are named."""
TIMES_REAL = 3.0
"""How many times the share of test images that look like copies that must be, too."""


def doubted_nll(case: Case) -> Finding | None:
    """The importance weights behind the NLL are those of a few samples."""
    high, ess, doubt = case.figure("khat_high"), case.figure("ess"), case.doubt("nll")
    if not (case.is_done and doubt and (high >= HIGH_KHAT or ess < LOW_ESS)):
        return None
    return Finding(
        "an NLL not to be trusted",
        f"NLL: {doubt}; the effective share of the samples is {ess:.2g}.",
        "annealing from kept weights: `vaebench evaluate FOLDER --grading annealed --keep`; or "
        "more samples (evaluate.num_samples)",
    )


def memorised(case: Case) -> Finding | None:
    """Drawn images are copies of training images."""
    share, real = case.figure("memorised"), case.reference("memorised")
    usual = real if real == real else 0.0
    if not (case.is_done and share >= max(COPIES, TIMES_REAL * usual)):
        return None
    return Finding(
        "memorised images",
        f"{share:.0%} of the drawn images are copies of a training image, of real ones "
        f"{usual:.0%}.",
        "more images, a smaller decoder or code, or earlier stopping",
    )
