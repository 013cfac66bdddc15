"""The disentanglement grading and its scores: of stacks, of models from elsewhere, of perfect
codes and of noise; and what it refuses."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from tests.support.factorial import (
    DRAWS,
    ENTANGLED,
    GRID,
    NUM_BINS,
    NUM_TREES,
    VALUES,
    F,
    N,
    standardised,
)
from vaebench.data import Images, Part, load
from vaebench.evaluation.codes.disentanglement import disentanglement, varying
from vaebench.evaluation.codes.factor_scores import Coded, dci, mig, sap
from vaebench.evaluation.codes.fixed_factor import beta_vae_score, factor_vae_score
from vaebench.evaluation.grading import GRADINGS, Subject
from vaebench.models.posteriors.gaussian import DiagonalGaussian
from vaebench.ops.noise import Noise


class Linear:
    """S runs of a model from elsewhere: images [B, 3] times a matrix of each run."""

    like = torch.zeros(1, dtype=torch.float64)

    def __init__(self, *matrices):
        self.weight = torch.stack([torch.as_tensor(m, dtype=torch.float64) for m in matrices])
        self.num_runs = len(matrices)

    def posterior(self, x):
        mu = x.double() @ self.weight
        return DiagonalGaussian(mu, torch.zeros_like(mu))


PERMUTED = np.eye(3)[:, [1, 2, 0]]
KEYS = (11, 12)


def known_factors(**parts):
    """A data set whose images are its factors, standardised."""
    made = {"train": GRID, "test": GRID[::-1].copy()} | parts
    digits = load("digits", "none")
    images = {name: torch.from_numpy(standardised(f)) for name, f in made.items()}
    each = {n: Part(Images(images[n]), None, torch.from_numpy(f)) for n, f in made.items()}
    return dataclasses.replace(digits, label="mine", fingerprint="none", **each)


def graded(model, keys=KEYS, data=None, **hyper):
    few = {"num_trees": 5, "num_draws": 40, "num_images": 16}
    subject = Subject(model, data or known_factors(), Noise(keys))
    return {g.name: g for g in disentanglement(subject, **(few | hyper))}


NAMES = {
    *("mig", "sap", "factor_vae_score", "beta_vae_score"),
    *("dci_disentanglement", "dci_completeness", "dci_informativeness"),
}


def test_runs_are_graded_side_by_side_and_alone_alike():
    both, alone = graded(Linear(PERMUTED, ENTANGLED)), graded(Linear(ENTANGLED), KEYS[1:])
    assert both.keys() == NAMES
    for name, grade in both.items():
        assert grade.values[0] == pytest.approx(1.0), name
        assert grade.values[1] == alone[name].values[0], name
        assert grade.values[1] < (1.01 if name.endswith(("ness", "beta_vae_score")) else 0.9), name
    assert both["mig"].parts.shape == (2, F)
    assert both["mig"].axis == "factor"
    torch.testing.assert_close(both["mig"].parts.mean(-1), both["mig"].values)
    assert both["dci_disentanglement"].parts is None


def test_dimensions_that_are_not_active_do_not_count():
    """A copy of each factor with a variance of 1e-4 would leave no gap at all."""
    copies = np.hstack([np.eye(3), 0.01 * np.eye(3)])
    for name, grade in graded(Linear(copies, 2.0 * copies)).items():
        assert grade.values.tolist() == pytest.approx([1.0, 1.0]), name
    computed = graded(Linear(10.0 * np.hstack([np.eye(3), np.eye(3)])), KEYS[:1])
    assert float(computed["mig"].values) == pytest.approx(0.0, abs=1e-12)
    assert float(computed["dci_completeness"].values) < 0.9


def test_a_collapsed_run_scores_what_guessing_does_and_says_so():
    computed = graded(Linear(np.eye(3), 0.01 * np.eye(3)))
    for name, grade in computed.items():
        assert grade.doubts[0] == "", name
        assert grade.doubts[1].startswith("no dimension of the posterior mean is active"), name
    assert computed["mig"].values.tolist() == pytest.approx([1.0, 0.0])
    assert computed["factor_vae_score"].values.tolist() == pytest.approx([1.0, 1 / F])


def test_protocols_say_how_and_what_chance_is():
    computed = graded(Linear(PERMUTED), KEYS[:1], num_bins=7)
    assert all(
        "variance > 0.01 on train; factors 0, 1, 2; test, " in g.protocol for g in computed.values()
    )
    assert computed["mig"].protocol.endswith("7 bins of equal width")
    assert computed["dci_completeness"].protocol.endswith("forests of 5 trees fitted on train")
    for name in ("factor_vae_score", "beta_vae_score"):
        assert "40 draws per factor of 16" in computed[name].protocol
        assert computed[name].protocol.endswith("chance 1/3")


def test_the_seed_is_the_runs():
    first, again, other = (
        graded(Linear(ENTANGLED), keys)["factor_vae_score"].values for keys in ((3,), (3,), (4,))
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_factors_that_do_not_vary_are_left_out():
    still = np.hstack([GRID[:, :1], np.zeros((N, 1), int), GRID[:, 1:]])
    digits = load("digits", "none")
    part = Part(Images(torch.from_numpy(standardised())), None, torch.from_numpy(still))
    data = dataclasses.replace(digits, train=part, test=part)
    assert varying(data) == [0, 2, 3]
    computed = graded(Linear(np.eye(3)), KEYS[:1], data)
    assert float(computed["mig"].values) == pytest.approx(1.0)
    assert "factors 0, 2, 3;" in computed["mig"].protocol


def distinct(num):
    """A factor of two values beside one of as many as there are images."""
    return np.stack([np.arange(num) % 2, np.arange(num)], -1)


def test_the_gap_of_information_is_that_of_the_test_part():
    """Where the factors of the test images are not theirs, but those of train are."""
    data, order = known_factors(), np.random.default_rng(0).permutation(N)
    shuffled = Part(Images(data.test.x), None, data.test.factors[order])
    foreign = dataclasses.replace(data, test=shuffled)
    for name, grade in graded(Linear(np.eye(3)), KEYS[:1], foreign).items():
        assert float(grade.values) < (1.01 if name in FITTED_ON_TRAIN else 0.5), name
    known = dataclasses.replace(
        data, train=Part(Images(data.train.x), None, data.train.factors[order])
    )
    assert float(graded(Linear(np.eye(3)), KEYS[:1], known)["mig"].values) == pytest.approx(1.0)


FITTED_ON_TRAIN = "dci_disentanglement", "dci_completeness"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("part", ["train", "test"])
def test_a_run_whose_codes_are_not_finite_is_nan_and_leaves_the_others_alone(bad, part):
    """In one dimension of one image, beside a run that does not look at it."""
    data = known_factors()
    marked = {
        n: dataclasses.replace(p, images=Images(torch.nn.functional.pad(p.x, (0, 1))))
        for n, p in (("train", data.train), ("test", data.test))
    }
    marked[part].images.stored[5, 3] = 1.0
    reads, ignores = np.zeros((4, 3)), np.zeros((4, 3))
    reads[:3], ignores[:3] = PERMUTED, ENTANGLED
    reads[3, 1] = 1.0

    class Breaks(Linear):
        def posterior(self, x):
            q = super().posterior(x)
            broken = (x[..., 3:] == 1.0) & (torch.arange(self.num_runs) == 0)[:, None, None]
            return DiagonalGaussian(q.mean.masked_fill(broken, bad), torch.zeros_like(q.mean))

    computed = graded(Breaks(reads, ignores), data=dataclasses.replace(data, **marked))
    alone = graded(Linear(ignores), KEYS[1:], data=dataclasses.replace(data, **marked))
    for name, grade in computed.items():
        assert torch.isnan(grade.values).tolist() == [True, False], name
        assert grade.values[1] == alone[name].values[0], name
        assert grade.doubts == ("the codes have NaN or infinity", ""), name
        assert grade.parts is None or bool(grade.parts[0].isnan().all()), name


def test_a_code_of_one_dimension_is_complete_by_definition_and_says_so():
    computed = graded(Linear(np.ones((3, 1))), KEYS[:1])
    assert float(computed["dci_completeness"].values) == 1.0
    assert computed["dci_completeness"].protocol.endswith("1 of one dimension by definition")
    assert 0.0 <= float(computed["dci_disentanglement"].values) < 0.2


REFUSED = {
    "one factor": ({"test": GRID[:, :1]}, "two factors that vary in train and test; of 'mine'"),
    "too fine": ({"train": distinct(400)}, "factor 1 of 'mine' may have 100 values; it has 400"),
    "new in test": (
        {"train": GRID[GRID[:, 1] < 2]},
        "factor 1 of 'mine' has values in test that train never has, [2, 3]: split",
    ),
    "all apart": ({"test": distinct(50)}, "factor 1 of 'mine' must give some value to two images"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_factors_that_cannot_be_scored_are_refused(fault):
    parts, message = REFUSED[fault]
    columns = min(f.shape[1] for f in parts.values())
    made = {"train": GRID[:, :columns], "test": GRID[:, :columns]} | parts
    subject = Subject(Linear(np.eye(3)), known_factors(**made), Noise((1,)))
    assert message in GRADINGS["disentanglement"].refuses(subject)


def test_data_without_factors_are_refused():
    refuses = GRADINGS["disentanglement"].refuses
    subject = Subject(Linear(np.eye(3)), load("digits", "none"), Noise((1,)))
    assert "'digits' has none for train and test: choose data 'shapes'" in refuses(subject)
    assert not refuses(dataclasses.replace(subject, dataset=load("shapes", "none")))
    assert not refuses(dataclasses.replace(subject, dataset=known_factors()))


# ------------------------------------------------------------------ all scores of known codes


def noise(seed, num_dims=4):
    """Codes of train and test that have nothing to do with the images."""
    codes = np.random.default_rng(seed).normal(size=(2, N, num_dims))
    return [Coded(c, GRID) for c in codes]


def scores(train, test, seed=1):
    """Every score by name, those of factors averaged."""
    computed = dci(train, test, NUM_TREES, seed)
    rng = np.random.default_rng
    return {
        "mig": mig(test, NUM_BINS).mean(),
        "sap": sap(train, test).mean(),
        "disentanglement": computed.disentanglement,
        "completeness": computed.completeness.mean(),
        "informativeness": computed.informativeness.mean(),
        "factor_vae": factor_vae_score(train, test, rng(seed), **DRAWS),
        "beta_vae": beta_vae_score(train, test, rng(seed), **DRAWS),
    }


def same(codes):
    """The same code for both parts."""
    return scores(Coded(codes, GRID), Coded(codes, GRID))


PERFECT = {
    "as it is": GRID.astype(float),
    "permuted and scaled": GRID[:, [2, 0, 1]] * np.array([-3.0, 0.02, 700.0]) + 5.0,
    "among dead dimensions": np.hstack([np.zeros((N, 2)), GRID, np.full((N, 1), 0.1)]),
    "monotone": np.exp(GRID / 2.0),
}


@pytest.mark.parametrize("kind", PERFECT)
def test_a_perfect_code_scores_1(kind):
    """Exactly, as every combination is there equally often."""
    for name, score in same(PERFECT[kind]).items():
        assert score == pytest.approx(1.0, abs=1e-9), name


def test_on_a_random_part_only_the_gap_of_information_falls_short():
    """In N images, a dimension has about (v - 1)(v' - 1) / 2N nats of another factor by chance."""
    data = load("shapes", "none")
    train, test = (part.factors.numpy() for part in (data.train, data.test))
    perfect = [Coded(factors.astype(float), factors) for factors in (train, test)]
    computed = scores(*perfect)
    assert all(computed[n] == pytest.approx(1.0, abs=1e-9) for n in computed if n != "mig")
    by_chance = 7 * 7 / (2 * len(test)) / math.log(8)
    assert 0.0 < 1.0 - computed["mig"] < 2.0 * by_chance < 0.04


def test_codes_of_noise_score_what_guessing_does():
    """Over ten codes, and each bound derived where the score is defined."""
    computed = [scores(*noise(seed), seed) for seed in range(10)]
    means = {name: np.array([f[name] for f in computed]) for name in computed[0]}
    for name in ("factor_vae", "beta_vae"):
        error = means[name].std(ddof=1) / 10**0.5
        assert error < 0.03
        assert abs(means[name].mean() - 1 / F) < 4.5 * error, name
    guessing = np.mean([1 / v for v in VALUES])
    error = (sum(1 / v * (1 - 1 / v) for v in VALUES) / F**2 / (10 * N)) ** 0.5
    assert abs(means["informativeness"].mean() - guessing) < 4.5 * error
    # The gap of the largest two of 4 is below 2 standard deviations of one of them, on average.
    spread = [((NUM_BINS - 1) * (v - 1) / 2) ** 0.5 / N / math.log(v) for v in VALUES]
    assert 0.0 < means["mig"].mean() < 2.0 * np.mean(spread) < 0.02
    spread = [(N * (v - 1)) ** -0.5 for v in VALUES]
    assert 0.0 < means["sap"].mean() < 2.0 * np.mean(spread) < 0.06
    assert 0.0 < means["disentanglement"].mean() < 0.02
    assert 0.0 < means["completeness"].mean() < 0.02


def test_a_code_that_says_nothing_scores_what_guessing_does():
    computed = same(np.zeros((N, 4)))
    assert computed["factor_vae"] == computed["beta_vae"] == pytest.approx(1 / F)
    for name in ("mig", "sap", "disentanglement", "completeness"):
        assert computed[name] == 0.0
    assert computed["informativeness"] == pytest.approx(np.mean([1 / v for v in VALUES]))


def test_entangled_codes_score_lower_but_tell_as_much():
    """But for beta-VAE's, which a linear map may undo, as Kim & Mnih 2018 say."""
    computed = same(standardised() @ ENTANGLED)
    for name in ("mig", "sap", "disentanglement", "completeness"):
        assert computed[name] < 0.75, name
    assert computed["factor_vae"] < 0.9
    assert computed["informativeness"] > 0.95


def test_scores_fall_with_the_angle_of_a_rotation():
    """With noise on the codes: else the few values of a turned grid tell both factors at once."""
    computed, noisy = [], standardised() + 0.3 * np.random.default_rng(0).normal(size=GRID.shape)
    for degrees in (0, 15, 45):
        cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        turn = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
        computed.append(same(noisy @ turn))
    for name in ("mig", "sap", "disentanglement", "completeness"):
        none, little, much = (f[name] for f in computed)
        assert none > little + 0.05 > much + 0.1, name


def test_order_scale_and_sign_of_dimensions_do_not_matter():
    """Codes with noise on them. Scales are powers of 2, so that digits are the same."""
    rng = np.random.default_rng(3)
    train, test = (standardised() + 0.5 * rng.normal(size=(N, F)) for _ in range(2))
    order, scale = [2, 0, 1], np.array([-4.0, 0.25, 1024.0])
    before = scores(Coded(train, GRID), Coded(test, GRID))
    after = scores(Coded((train * scale)[:, order], GRID), Coded((test * scale)[:, order], GRID))
    for name in ("mig", "sap", "factor_vae"):
        assert after[name] == pytest.approx(before[name], abs=1e-12), name
    for name in before:  # which of two equal splits a tree takes depends on the order
        assert after[name] == pytest.approx(before[name], abs=0.02), name
    assert all(0.2 < before[n] < 0.95 for n in ("mig", "sap", "disentanglement", "informativeness"))
