"""The evaluation on held-out data: the same for every variant, chosen by none of them."""

from vaebench.evaluation import codes, likelihood, samples
from vaebench.evaluation.budget import budget
from vaebench.evaluation.evaluate import USUAL, Evaluation, evaluate
from vaebench.evaluation.grading import (
    GRADINGS,
    Grade,
    Graded,
    Grading,
    Subject,
    check,
    grading,
    with_own_streams,
)
from vaebench.evaluation.likelihood.bounds import Bounds, bounds

__all__ = [
    "GRADINGS",
    "USUAL",
    "Bounds",
    "Evaluation",
    "Grade",
    "Graded",
    "Grading",
    "Subject",
    "bounds",
    "budget",
    "check",
    "codes",
    "evaluate",
    "grading",
    "likelihood",
    "samples",
    "with_own_streams",
]
