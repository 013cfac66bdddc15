"""The disentanglement grading: of stacks, of models from elsewhere, and what it refuses."""

import dataclasses

import numpy as np
import pytest
import torch
from factorial import ENTANGLED, GRID, F, N, standardised

from vaebench.data import Part, load
from vaebench.evaluation.codes.disentanglement import disentanglement, varying
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
    each = {n: Part(images[n], None, torch.from_numpy(f)) for n, f in made.items()}
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
    found = graded(Linear(10.0 * np.hstack([np.eye(3), np.eye(3)])), KEYS[:1])
    assert float(found["mig"].values) == pytest.approx(0.0, abs=1e-12)
    assert float(found["dci_completeness"].values) < 0.9


def test_a_collapsed_run_scores_what_guessing_does_and_says_so():
    found = graded(Linear(np.eye(3), 0.01 * np.eye(3)))
    for name, grade in found.items():
        assert grade.doubts[0] == "", name
        assert grade.doubts[1].startswith("no dimension of the posterior mean is active"), name
    assert found["mig"].values.tolist() == pytest.approx([1.0, 0.0])
    assert found["factor_vae_score"].values.tolist() == pytest.approx([1.0, 1 / F])


def test_protocols_say_how_and_what_chance_is():
    found = graded(Linear(PERMUTED), KEYS[:1], num_bins=7)
    assert all(
        "variance > 0.01 on train; factors 0, 1, 2; test, " in g.protocol for g in found.values()
    )
    assert found["mig"].protocol.endswith("7 bins of equal width")
    assert found["dci_completeness"].protocol.endswith("forests of 5 trees fitted on train")
    for name in ("factor_vae_score", "beta_vae_score"):
        assert "40 draws per factor of 16" in found[name].protocol
        assert found[name].protocol.endswith("chance 1/3")


def test_the_seed_is_the_runs():
    first, again, other = (
        graded(Linear(ENTANGLED), keys)["factor_vae_score"].values for keys in ((3,), (3,), (4,))
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_factors_that_do_not_vary_are_left_out():
    still = np.hstack([GRID[:, :1], np.zeros((N, 1), int), GRID[:, 1:]])
    digits = load("digits", "none")
    part = Part(torch.from_numpy(standardised()), None, torch.from_numpy(still))
    data = dataclasses.replace(digits, train=part, test=part)
    assert varying(data) == [0, 2, 3]
    found = graded(Linear(np.eye(3)), KEYS[:1], data)
    assert float(found["mig"].values) == pytest.approx(1.0)
    assert "factors 0, 2, 3;" in found["mig"].protocol


def distinct(num):
    """A factor of two values beside one of as many as there are images."""
    return np.stack([np.arange(num) % 2, np.arange(num)], -1)


def test_the_gap_of_information_is_that_of_the_test_part():
    """Where the factors of the test images are not theirs, but those of train are."""
    data, order = known_factors(), np.random.default_rng(0).permutation(N)
    shuffled = Part(data.test.x, None, data.test.factors[order])
    foreign = dataclasses.replace(data, test=shuffled)
    for name, grade in graded(Linear(np.eye(3)), KEYS[:1], foreign).items():
        assert float(grade.values) < (1.01 if name in FITTED_ON_TRAIN else 0.5), name
    known = dataclasses.replace(data, train=Part(data.train.x, None, data.train.factors[order]))
    assert float(graded(Linear(np.eye(3)), KEYS[:1], known)["mig"].values) == pytest.approx(1.0)


FITTED_ON_TRAIN = "dci_disentanglement", "dci_completeness"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("part", ["train", "test"])
def test_a_run_whose_codes_are_not_finite_is_nan_and_leaves_the_others_alone(bad, part):
    """In one dimension of one image, beside a run that does not look at it."""
    data = known_factors()
    marked = {
        n: dataclasses.replace(p, x=torch.nn.functional.pad(p.x, (0, 1)))
        for n, p in (("train", data.train), ("test", data.test))
    }
    marked[part].x[5, 3] = 1.0
    reads, ignores = np.zeros((4, 3)), np.zeros((4, 3))
    reads[:3], ignores[:3] = PERMUTED, ENTANGLED
    reads[3, 1] = 1.0

    class Breaks(Linear):
        def posterior(self, x):
            q = super().posterior(x)
            broken = (x[..., 3:] == 1.0) & (torch.arange(self.num_runs) == 0)[:, None, None]
            return DiagonalGaussian(q.mean.masked_fill(broken, bad), torch.zeros_like(q.mean))

    found = graded(Breaks(reads, ignores), data=dataclasses.replace(data, **marked))
    alone = graded(Linear(ignores), KEYS[1:], data=dataclasses.replace(data, **marked))
    for name, grade in found.items():
        assert torch.isnan(grade.values).tolist() == [True, False], name
        assert grade.values[1] == alone[name].values[0], name
        assert grade.doubts == ("the codes have NaN or infinity", ""), name
        assert grade.parts is None or bool(grade.parts[0].isnan().all()), name


def test_a_code_of_one_dimension_is_complete_by_definition_and_says_so():
    found = graded(Linear(np.ones((3, 1))), KEYS[:1])
    assert float(found["dci_completeness"].values) == 1.0
    assert found["dci_completeness"].protocol.endswith("1 of one dimension by definition")
    assert 0.0 <= float(found["dci_disentanglement"].values) < 0.2


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
