"""Scores of a code by known factors, each factor against each dimension: MIG, SAP and DCI.

Codes [N, D] and factors [N, F] of one model; scores are for a dimension and a factor [D, F].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Integers = NDArray[np.int64]

MIN_LEAF = 5
"""Training images in a leaf of a forest's tree: smaller ones learn noise."""


@dataclass(frozen=True)
class Coded:
    """Images as their codes, with the factors that they were made from."""

    codes: Numbers  # [N, D]
    factors: Integers  # [N, F] each of two values or more


class Dci(NamedTuple):
    """Disentanglement, completeness and informativeness (Eastwood & Williams 2018, section 3)."""

    disentanglement: float
    completeness: Numbers  # [F]
    informativeness: Numbers  # [F]


def mig(coded: Coded, num_bins: int) -> Numbers:
    """The mutual information gap of each factor: [F], from 0 to 1.

    Chen et al. 2018, eq. 6: (I(z_1; v) - I(z_2; v)) / H(v) of the two dimensions that tell most of
    the factor v, here with the codes in bins (Locatello et al. 2019), not by densities. Of
    unrelated codes 2 N I is chi-squared, with about (num_bins - 1) (values - 1) degrees of freedom:
    the gap is of the order of its spread, (degrees / 2)^(1/2) / N over H.
    """
    from sklearn.metrics import mutual_info_score

    binned = _binned(coded.codes, num_bins)
    factors = coded.factors.T
    information = [[mutual_info_score(z, v) for v in factors] for z in binned.T]
    entropy = [mutual_info_score(v, v) for v in factors]
    return top_gap(np.array(information) / np.array(entropy))


def _binned(codes: Numbers, num_bins: int) -> Integers:
    """Each dimension in bins of equal width from its least to its greatest value: [N, D]."""
    least, width = codes.min(0), np.ptp(codes, axis=0)
    share = (codes - least) / np.where(width > 0, width, 1.0)
    return np.minimum(share * num_bins, num_bins - 1).astype(np.int64)


def top_gap(scores: Numbers) -> Numbers:
    """The best dimension's score less the second best's, neither below 0: [D, F] -> [F]."""
    beside_nothing = np.vstack([scores, np.zeros((2, scores.shape[1]))])
    second, best = np.sort(beside_nothing, 0)[-2:]
    return best - second


def sap(train: Coded, test: Coded) -> Numbers:
    """Separated attribute predictability of each factor: [F], from 0 to 1.

    Kumar et al. 2018, section 3, for classes: thresholds on one dimension, as many as separate the
    factor's values, predict it; the score is the balanced accuracy on the test part. It is adjusted
    so that guessing scores 0 and a perfect code a gap of 1, which needs no factor to have many
    values. Unrelated codes score the spread of such an accuracy, about (N (values - 1))^(-1/2).
    """
    scores = [
        [_thresholds(train, test, d, f) for f in range(train.factors.shape[1])]
        for d in range(train.codes.shape[1])
    ]
    return top_gap(np.array(scores))


def _thresholds(train: Coded, test: Coded, d: int, f: int) -> float:
    """Balanced accuracy, adjusted, of a factor's values by thresholds on one dimension."""
    from sklearn.tree import DecisionTreeClassifier

    num_values = len(np.unique(train.factors[:, f]))
    tree = DecisionTreeClassifier(
        max_leaf_nodes=num_values, class_weight="balanced", random_state=0
    ).fit(train.codes[:, [d]], train.factors[:, f])
    return _adjusted_accuracy(test.factors[:, f], tree.predict(test.codes[:, [d]]))


def _adjusted_accuracy(values: Integers, predicted: Integers) -> float:
    """The mean over values of the share predicted right, from guessing at 0 to 1."""
    present = np.unique(values)
    right = np.mean([np.mean(predicted[values == value] == value) for value in present])
    guessing = 1.0 / len(present)
    return float((right - guessing) / (1.0 - guessing))


def dci(train: Coded, test: Coded, num_trees: int, seed: int) -> Dci:
    """Disentanglement, completeness and informativeness, from random forests.

    Eastwood & Williams 2018, section 3: the importance R of dimension d for factor f is that in a
    forest that predicts f, 1 - entropy of R over factors (dimensions) is the disentanglement of a
    dimension (completeness of a factor), and the first is averaged with the weight of a dimension
    in R. Trees consider every dimension at a split, so that one that tells all is alone in R.
    A code of one dimension is complete for whatever it tells anything of, by definition: 1.
    Informativeness is the accuracy on the test part, as in Locatello et al. 2019, not an error:
    guessing scores 1 / values. Unrelated codes have R nearly even: both others are near 0.
    """
    factors = range(train.factors.shape[1])
    importance, accuracy = zip(
        *(_forest(train, test, f, num_trees, seed) for f in factors), strict=True
    )
    weights = np.stack(importance, -1)  # [D, F]
    per_dimension, total = _concentration(weights), weights.sum()
    disentanglement = per_dimension @ weights.sum(1) / total if total > 0 else 0.0
    return Dci(float(disentanglement), _concentration(weights.T), np.array(accuracy))


def _forest(train: Coded, test: Coded, f: int, num_trees: int, seed: int) -> tuple[Numbers, float]:
    """The importance of each dimension for a factor [D], and the test accuracy."""
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(
        num_trees, max_features=None, min_samples_leaf=MIN_LEAF, random_state=seed
    ).fit(train.codes, train.factors[:, f])
    return forest.feature_importances_, float(forest.score(test.codes, test.factors[:, f]))


def _concentration(weights: Numbers) -> Numbers:
    """1 - H / log n of each row, 1 for n = 1, 0 where it has no weight: [m, n] -> [m]."""
    from scipy.special import entr

    total, num = weights.sum(1), weights.shape[1]
    shares = weights / np.where(total > 0, total, 1.0)[:, None]
    entropy = entr(shares).sum(1) / np.log(max(num, 2))
    # Of even weights the entropy is 1 up to rounding.
    return np.where(total > 0, np.clip(1.0 - entropy, 0.0, 1.0), 0.0)
