"""Scores that guess from a code which factor was held fixed: FactorVAE and beta-VAE.

V draws of L images each, among those that a part of the data holds with one value of that factor,
as many draws of each factor. One part teaches the classifier and the other is scored, so that what
a code of noise happens to have in common is no help: guessing scores 1 / F.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vaebench.evaluation.codes.factor_scores import Coded, Integers, Numbers

MAX_STEPS = 1000
"""Steps of the logistic regression at most; it converges long before."""
OfFactor = Callable[[Numbers, Integers], Numbers]
"""(codes [N, D], values of one factor [N]) -> features [V, D] of draws with that factor fixed."""


def factor_vae_score(
    train: Coded, test: Coded, rng: np.random.Generator, *, num_draws: int, num_images: int
) -> float:
    """The accuracy of a majority vote by the dimension that varies least: from 0 to 1.

    Kim & Mnih 2018, section 4: of images with one factor fixed, the dimension with the least
    variance, relative to that over the training part, votes for the factor. A dimension that never
    varies does not vote.
    """
    scale, varies = _scale(train.codes), np.ptp(train.codes, axis=0) > 0

    def spread(codes: Numbers, values: Integers) -> Numbers:
        images = with_one_value(values, rng, num_draws, num_images)
        return np.where(varies, (codes[images] / scale).var(1), np.inf)

    (spreads, taught), (asked_spreads, asked) = (_of_each(p, spread) for p in (train, test))
    votes = np.zeros((train.codes.shape[1], train.factors.shape[1]), np.int64)
    np.add.at(votes, (spreads.argmin(-1), taught), 1)
    return float(np.mean(votes.argmax(-1)[asked_spreads.argmin(-1)] == asked))


def beta_vae_score(
    train: Coded, test: Coded, rng: np.random.Generator, *, num_draws: int, num_images: int
) -> float:
    """The accuracy of a linear classifier on differences within pairs: from 0 to 1.

    Higgins et al. 2017, section 3: of pairs of images that share one factor's value, another one
    from pair to pair, the mean |z - z'|. Dimensions are divided by their standard deviation over
    the training part, and the two images are different ones. A code that mixes factors may score 1.
    """
    from sklearn.linear_model import LogisticRegression

    scale = _scale(train.codes)

    def difference(codes: Numbers, values: Integers) -> Numbers:
        images = with_others(values, rng, (num_draws, num_images))
        return np.abs(codes[images] - codes[others(values, images, rng)]).mean(1) / scale

    taught, asked = (_of_each(part, difference) for part in (train, test))
    classifier = LogisticRegression(max_iter=MAX_STEPS).fit(*taught)
    return float(classifier.score(*asked))


def _scale(codes: Numbers) -> Numbers:
    """The standard deviation of each dimension, 1 where that is 0: [N, D] -> [D]."""
    deviation = codes.std(0)
    return np.where(deviation > 0, deviation, 1.0)


def _of_each(part: Coded, of_factor: OfFactor) -> tuple[Numbers, Integers]:
    """Features of draws with each factor fixed [F V, D], and which it was [F V]."""
    features = np.stack([of_factor(part.codes, values) for values in part.factors.T])
    num_factors, num_draws, _ = features.shape
    return np.concatenate(features), np.repeat(np.arange(num_factors), num_draws)


def with_one_value(
    values: Integers, rng: np.random.Generator, num_draws: int, num_images: int
) -> Integers:
    """Rows of images that share a value in each draw, that of the first: [V, L]."""
    first = with_others(values, rng, (num_draws, 1))
    more = others(values, np.repeat(first, num_images - 1, axis=1), rng)
    return np.concatenate([first, more], axis=1)


def with_others(values: Integers, rng: np.random.Generator, shape: tuple[int, int]) -> Integers:
    """Rows, drawn with replacement, of images that are not the only one with their value."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return rng.choice(np.flatnonzero(counts[inverse] > 1), shape)


def others(values: Integers, rows: Integers, rng: np.random.Generator) -> Integers:
    """For each row another one with its value, all of them alike likely: same shape."""
    order = np.argsort(values, kind="stable")
    place, ordered = np.argsort(order), values[order]
    first, last = (np.searchsorted(ordered, values[rows], side) for side in ("left", "right"))
    count = last - first
    return order[first + (place[rows] - first + rng.integers(1, count)) % count]
