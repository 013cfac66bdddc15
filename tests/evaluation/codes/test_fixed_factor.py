"""Scores of draws with one factor fixed, of codes that they can be worked out for by hand."""

import numpy as np

from tests.support.factorial import DRAWS, GRID, F, N, standardised
from vaebench.evaluation.codes.factor_scores import Coded
from vaebench.evaluation.codes.fixed_factor import (
    beta_vae_score,
    factor_vae_score,
    others,
    with_one_value,
    with_others,
)


def test_a_dimension_that_never_varies_has_no_vote():
    """Were its variance of 0 a vote, it would be the least in every draw."""
    dead = Coded(np.hstack([np.full((N, 1), 0.3), GRID]), GRID)
    assert factor_vae_score(dead, dead, np.random.default_rng(0), **DRAWS) == 1.0


def test_votes_are_taught_by_one_part_and_scored_on_the_other():
    train, test = Coded(GRID * 1.0, GRID), Coded(GRID[:, [1, 2, 0]] * 1.0, GRID)
    draw = np.random.default_rng
    assert factor_vae_score(train, test, draw(0), **DRAWS) == 0.0
    assert beta_vae_score(train, test, draw(0), **DRAWS) < 0.05


def test_beta_vae_does_not_depend_on_the_scale_of_a_dimension():
    """Not even where the penalty of a regression would leave a small one out."""
    train, test = (standardised() + np.random.default_rng(i).normal(size=(N, F)) for i in (0, 1))
    before, after = (
        beta_vae_score(
            Coded(train * scale, GRID), Coded(test * scale, GRID), np.random.default_rng(0), **DRAWS
        )
        for scale in (np.ones(3), np.array([1.0, 2.0**-12, 2.0**-12]))
    )
    assert 0.5 < before < 1.0
    assert after == before


def test_another_image_with_the_value_is_each_alike_likely_and_never_the_same():
    values = np.array([2, 0, 2, 1, 2, 0, 2])
    rows = np.repeat([[0], [1], [2]], 3000, 1)
    computed = others(values, rows, np.random.default_rng(0))
    assert (computed != rows).all()
    assert (values[computed] == values[rows]).all()
    assert set(computed[1]) == {5}
    for row, expected in ((0, {2, 4, 6}), (2, {0, 4, 6})):
        counts = np.bincount(computed[row], minlength=7)
        assert set(np.flatnonzero(counts)) == expected
        # Four standard errors of a share of a third.
        assert np.abs(counts[list(expected)] / 3000 - 1 / 3).max() < 4 * (2 / 9 / 3000) ** 0.5


def test_rows_that_are_alone_with_their_value_are_not_drawn():
    values = np.array([0, 1, 1, 2, 3, 3])
    assert set(with_others(values, np.random.default_rng(0), (100, 2)).flat) == {1, 2, 4, 5}


def test_a_draw_has_one_value():
    rows = with_one_value(GRID[:, 1], np.random.default_rng(0), 50, 8)
    drawn = GRID[:, 1][rows]
    assert rows.shape == (50, 8)
    assert (drawn == drawn[:, :1]).all()
    assert len(np.unique(drawn[:, 0])) == 4
    assert all(len(set(row)) > 1 for row in rows)
