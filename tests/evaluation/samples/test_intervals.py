"""Intervals of shares: from a table, and of hits that are not independent."""

import pytest
import torch

from vaebench.evaluation.samples.intervals import share


def test_intervals_of_shares_and_means():
    """Wilson's for 7 of 10, from a table; the ends stay in [0, 1] and 0 hits have an interval."""
    hits = torch.arange(10)[None] < 7
    ends = share(hits)
    assert (float(ends.low), float(ends.high)) == pytest.approx((0.3968, 0.8922), abs=5e-5)
    none = share(torch.zeros(1, 20, dtype=torch.bool))
    assert float(none.low) == 0.0
    assert 0.1 < float(none.high) < 0.2


def test_a_share_with_a_variance_has_the_interval_of_as_many_independent_hits():
    """400 hits with four times the variance of independent ones have the interval of 100."""
    hits = (torch.arange(400) % 4 > 0)[None]
    variance = torch.tensor([(302 / 404) * (102 / 404) / 100]).double()
    hundred, computed = share(hits[:, :100]), share(hits, variance)
    torch.testing.assert_close((computed.low, computed.high), (hundred.low, hundred.high))
    few, all_hit = share(hits, variance / 40), share(hits > -1, variance)
    assert float(few.low) == float(share(hits).low)
    assert 0.0 < float(all_hit.low) < float(share(hits > -1).low) < 1.0 == float(all_hit.high)
