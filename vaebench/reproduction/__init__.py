"""Published claims as files, and the command that says whether they hold here.

A claim (`claims/NAME.toml`) states what was published, where, the study that should show it again,
and what counts as equal. `reproduce` trains the study through the same harness as any other, and
`judge` makes a verdict of its records: reproduced, not reproduced, or not comparable.
"""

from vaebench.reproduction.attempt import reproduce
from vaebench.reproduction.claim import Claim, Scale, names, read_claim
from vaebench.reproduction.evidence import Evidence
from vaebench.reproduction.rule import Outcome, Verdict
from vaebench.reproduction.statements import judge
from vaebench.reproduction.verdict import Reproduction, overall

__all__ = [
    "Claim",
    "Evidence",
    "Outcome",
    "Reproduction",
    "Scale",
    "Verdict",
    "judge",
    "names",
    "overall",
    "read_claim",
    "reproduce",
]
