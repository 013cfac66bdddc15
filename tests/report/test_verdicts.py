"""The one decision on what a pair of variants shows."""

import pytest

from vaebench.report.verdicts import Verdict, verdict


@pytest.mark.parametrize(
    ("interval", "num", "p", "expected"),
    [
        ((0.1, 0.3), 5, 0.01, Verdict.DIFFER),
        ((-0.3, -0.1), 5, 0.05, Verdict.DIFFER),
        ((0.1, 0.3), 5, 0.06, Verdict.MAY_DIFFER),
        ((-0.1, 0.3), 5, 0.01, Verdict.NOT_TOLD_APART),
        ((0.0, 0.0), 5, 1.0, Verdict.NOT_TOLD_APART),
        ((float("nan"), float("nan")), 1, float("nan"), Verdict.ONE_SEED),
        ((float("nan"), float("nan")), 0, float("nan"), Verdict.NOT_COMPARED),
    ],
)
def test_what_an_interval_shows(interval, num, p, expected):
    assert verdict(*interval, num=num, p=p) == expected


def test_an_interval_that_allows_for_all_pairs_needs_no_p():
    assert verdict(0.1, 0.3, num=8) == Verdict.DIFFER
