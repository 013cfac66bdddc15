"""The gradings of sample quality as a whole: what they compare, with what, and how they say it."""

import dataclasses
import math

import pytest
import torch
from conftest import tiny
from given_images import NOISE, REAL, P, dataset_of, images, subject_of

from vaebench.data import Part, load
from vaebench.errors import InputError
from vaebench.evaluation.grading import GRADINGS, Subject
from vaebench.evaluation.samples import drawn
from vaebench.evaluation.samples.quality import samples
from vaebench.evaluation.samples.two_sample import two_sample
from vaebench.initial import build_stack, streams
from vaebench.models import select
from vaebench.noise import Noise

NAMES = ["frechet", "kid", "precision", "recall", "density", "coverage", "memorised"]


def graded(*given, num_neighbours=5, **more):
    return {g.name: g for g in samples(subject_of(*given, **more), num_neighbours=num_neighbours)}


# ------------------------------------------------------------------ what is compared


def test_every_grade_has_its_interval_reference_and_fingerprint():
    found = graded(REAL, NOISE)
    assert list(found) == NAMES
    for grade in found.values():
        assert bool((grade.low <= grade.values).all() and (grade.values <= grade.high).all())
        assert math.isfinite(grade.reference)
        assert len(grade.fingerprint) == 12
        assert "50 means of p(x|z), z from the prior" in grade.protocol
    assert "raw 9" in found["frechet"].protocol
    assert "against 60 grey test images; reference 50 training images" in found["kid"].protocol
    assert "k=5" in found["density"].protocol


def test_real_images_score_as_the_reference_does_and_noise_does_not():
    """The reference is as many training images as the model gives: those themselves score it."""
    dataset = dataset_of()
    train = drawn.some(dataset.train, 50, "reference")
    found = graded(train, NOISE[:50], dataset=dataset)
    for name in NAMES[:-1]:
        assert float(found[name].values[0]) == pytest.approx(found[name].reference, rel=1e-9), name
    better = {"frechet": -1, "kid": -1, "precision": 1, "density": 1, "coverage": 1}
    for name, sign in better.items():
        assert sign * (found[name].values[0] - found[name].values[1]) > 0, name


def test_copies_of_training_images_are_memorised_and_test_images_are_the_reference():
    dataset = dataset_of()
    found = graded(dataset.train.x[:70], REAL, dataset=dataset)["memorised"]
    assert found.values.tolist() == [1.0, 0.0]
    assert found.reference == 0.0
    leaked = dataclasses.replace(dataset, test=Part(dataset.train.x[:60], None))
    assert graded(REAL, dataset=leaked)["memorised"].reference == 1.0


def test_parts_are_of_the_test_images():
    found = graded(REAL, NOISE)
    for name in ("recall", "coverage"):
        assert found[name].parts.shape == (2, 60)
        torch.testing.assert_close(found[name].parts.double().mean(1), found[name].values)
    assert all(found[name].parts is None for name in NAMES if name not in ("recall", "coverage"))


def test_a_stack_is_graded_as_each_run_is_alone():
    configs = [tiny(seed=i) for i in range(3)]
    dataset = load("digits", "dynamic")
    model, noise = build_stack(configs, (8, 8)), streams(configs, "evaluate")
    for grading in (samples, two_sample):
        stacked = grading(Subject(model, dataset, noise, num_images=40))
        for i in range(3):
            own = Noise(noise.keys[i : i + 1])
            alone = grading(Subject(select(model, [i]), dataset, own, num_images=40))
            for whole, one in zip(stacked, alone, strict=True):
                assert float(whole.values[i]) == pytest.approx(float(one.values), rel=1e-4), (
                    one.name
                )
                assert whole.fingerprint == one.fingerprint


# ------------------------------------------------------------------ what cannot be graded


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_run_that_gives_no_numbers_is_nan_and_leaves_the_others_alone(bad):
    broken = REAL.clone()
    broken[3, 4] = bad
    found, alone = graded(broken, REAL), graded(REAL)
    for name, grade in found.items():
        assert math.isnan(grade.values[0]), name
        assert math.isnan(grade.low[0]), name
        assert float(grade.values[1]) == pytest.approx(float(alone[name].values), rel=1e-9), name
        assert grade.doubts == ("the model's images have NaN or infinity", ""), name
    accuracy, p_value = two_sample(subject_of(broken, REAL))
    assert math.isnan(accuracy.values[0])
    assert math.isnan(p_value.values[0])
    assert p_value.values[1] == two_sample(subject_of(REAL))[1].values[0]


def test_too_few_images_for_a_covariance_are_in_doubt():
    assert graded(REAL, num_images=10)["frechet"].doubts == ("",)
    found = graded(REAL, num_images=9)
    assert found["frechet"].doubts == ("9 images are too few for a covariance of 9 features",)
    assert found["kid"].doubts == ("",)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"num_images": 5}, "'samples' needs 6 generated images or more; there are 5"),
        ({"num_neighbours": 60}, "'samples' needs 61 generated images or more; there are 50"),
        ({"num_images": 70, "num_neighbours": 60}, "needs 61 test images or more; there are 60"),
        ({"num_images": 2, "num_neighbours": 1}, "'samples' needs 3 generated images"),
    ],
)
def test_too_few_images_are_refused(more, said):
    with pytest.raises(InputError, match=said):
        graded(REAL, **more)
    assert graded(REAL, num_images=6, num_neighbours=5)


def test_constant_images_have_defined_grades():
    found = graded(torch.full((70, P), 0.5))
    assert all(bool(grade.values.isfinite().all()) for grade in found.values())
    assert float(found["recall"].values) == 0.0
    assert float(found["memorised"].values) == 0.0


@pytest.mark.parametrize("name", ["samples", "two_sample"])
def test_an_extractor_that_is_not_there_is_refused_before_the_run(name):
    assert GRADINGS[name].refuses(subject_of(REAL)) == ""
    refused = GRADINGS[name].refuses(subject_of(REAL, extractor="clasifier"))
    assert "did you mean 'classifier'" in refused


# ------------------------------------------------------------------ two-sample test


def test_two_sample_test_tells_noise_from_real_images():
    accuracy, p_value = two_sample(subject_of(REAL, 1 - REAL))
    assert (accuracy.name, p_value.name) == ("c2st_accuracy", "c2st_p_value")
    assert abs(float(accuracy.values[0]) - 0.5) < 4 * math.sqrt(0.25 / 50)
    assert float(accuracy.values[1]) > 0.9
    assert bool((accuracy.low < accuracy.values).all() and (accuracy.values <= accuracy.high).all())
    assert float(p_value.values[1]) < 1e-6 < 0.01 < float(p_value.values[0])
    assert abs(accuracy.reference - 0.5) < 4 * math.sqrt(0.25 / 50)
    assert p_value.low is p_value.high is None


def test_sorted_test_images_are_as_good_as_any():
    """The halves are of a fixed random order, not of that in the file."""
    x, kinds = images(400, 2)
    in_order = dataclasses.replace(dataset_of(), test=Part(x[kinds.argsort()], None))
    found = two_sample(subject_of(images(400, 9)[0], dataset=in_order, num_images=400))[0]
    assert abs(float(found.values[0]) - 0.5) < 4 * math.sqrt(0.25 / 400)


def test_two_sample_test_needs_four_images():
    with pytest.raises(InputError, match="'two_sample' needs 4 generated images or more"):
        two_sample(subject_of(REAL, num_images=3))
    assert two_sample(subject_of(REAL, num_images=4))
