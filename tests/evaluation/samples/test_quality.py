"""The gradings of sample quality as a whole: what they compare, with what, and how they say it."""

import dataclasses
import math

import pytest
import torch

from tests.support.given_images import NOISE, REAL, P, dataset_of, images, subject_of
from tests.support.runs import tiny
from vaebench.config.build import build_stack, streams
from vaebench.core.errors import InputError
from vaebench.data import Images, Part, load
from vaebench.evaluation import budget, evaluate
from vaebench.evaluation.grading import GRADINGS, Subject
from vaebench.evaluation.samples import drawn
from vaebench.evaluation.samples.quality import samples
from vaebench.evaluation.samples.two_sample import two_sample
from vaebench.models import select
from vaebench.ops.noise import Noise

NAMES = ["frechet", "kid", "precision", "recall", "density", "coverage", "memorised"]


def graded(*arguments, num_neighbours=5, **more):
    return {
        g.name: g for g in samples(subject_of(*arguments, **more), num_neighbours=num_neighbours)
    }


# ------------------------------------------------------------------ what is compared


def test_every_grade_has_its_interval_reference_and_fingerprint():
    computed = graded(REAL, NOISE)
    assert list(computed) == NAMES
    for grade in computed.values():
        assert bool((grade.low <= grade.values).all() and (grade.values <= grade.high).all())
        assert math.isfinite(grade.reference)
        assert len(grade.fingerprint) == 12
        assert "50 means of p(x|z), z from the prior" in grade.protocol
    assert "raw 9" in computed["frechet"].protocol
    assert "against 60 grey test images; reference 50 training images" in computed["kid"].protocol
    assert "k=5" in computed["density"].protocol


def test_real_images_score_as_the_reference_does_and_noise_does_not():
    """The reference is as many training images as the model gives: those themselves score it."""
    dataset = dataset_of()
    train = drawn.some(dataset.train, 50, "reference")
    computed = graded(train, NOISE[:50], dataset=dataset)
    for name in NAMES[:-1]:
        assert float(computed[name].values[0]) == pytest.approx(
            computed[name].reference, rel=1e-9
        ), name
    better = {"frechet": -1, "kid": -1, "precision": 1, "density": 1, "coverage": 1}
    for name, sign in better.items():
        assert sign * (computed[name].values[0] - computed[name].values[1]) > 0, name


def test_copies_of_training_images_are_memorised_and_test_images_are_the_reference():
    dataset = dataset_of()
    computed = graded(dataset.train.x[:70], REAL, dataset=dataset)["memorised"]
    assert computed.values.tolist() == [1.0, 0.0]
    assert computed.reference == 0.0
    leaked = dataclasses.replace(dataset, test=Part(Images(dataset.train.x[:60]), None))
    assert graded(REAL, dataset=leaked)["memorised"].reference == 1.0


def test_parts_are_of_the_test_images():
    computed = graded(REAL, NOISE)
    for name in ("recall", "coverage"):
        assert computed[name].parts.shape == (2, 60)
        torch.testing.assert_close(computed[name].parts.double().mean(1), computed[name].values)
    assert all(computed[name].parts is None for name in NAMES if name not in ("recall", "coverage"))


def test_a_stack_is_graded_as_each_run_is_alone():
    configs = [tiny(seed=i) for i in range(3)]
    dataset = load("digits", "dynamic")
    model, noise = build_stack(configs, (8, 8)), streams(configs, "evaluate")
    for grading in (samples, two_sample):
        stacked = grading(Subject(model, dataset, noise, num_images=40))
        for i in range(3):
            one_run = Noise(noise.keys[i : i + 1])
            alone = grading(Subject(select(model, [i]), dataset, one_run, num_images=40))
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
    computed, alone = graded(broken, REAL), graded(REAL)
    for name, grade in computed.items():
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
    computed = graded(REAL, num_images=9)
    assert computed["frechet"].doubts == ("9 images are too few for a covariance of 9 features",)
    assert computed["kid"].doubts == ("",)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"num_images": 6}, "it needs 7 generated images or more; there are 6: give more"),
        ({"num_neighbours": 50}, "it needs 52 generated images or more; there are 50"),
        ({"num_images": 70, "num_neighbours": 60}, "needs 62 test images or more; there are 60"),
        ({"num_images": 2, "num_neighbours": 1}, "it needs 3 generated images"),
    ],
)
def test_too_few_images_are_refused(more, said):
    hyper = {"num_neighbours": more.pop("num_neighbours", 5)}
    refuses = GRADINGS["samples"].refuses
    assert said in refuses(subject_of(REAL, **more), **hyper)
    with pytest.raises(InputError, match="grading 'samples' is refused: it needs"):
        evaluate(subject_of(REAL, **more), {"samples": hyper})


def test_the_time_of_more_neighbours_than_a_short_run_has_images_is_estimated():
    subject = subject_of(REAL, num_images=60)
    assert budget(subject, {"samples": {"num_neighbours": 50}})["samples"] > 0


def test_as_few_images_as_are_taken_are_graded():
    computed = graded(REAL, num_images=7, num_neighbours=5)
    assert GRADINGS["samples"].refuses(subject_of(REAL, num_images=7), num_neighbours=5) == ""
    assert all(bool((g.high - g.low).isfinite().all()) for g in computed.values())
    assert all(
        g.values.isfinite().all() for g in graded(REAL, num_images=3, num_neighbours=1).values()
    )


def test_constant_images_have_defined_grades():
    computed = graded(torch.full((70, P), 0.5))
    assert all(bool(grade.values.isfinite().all()) for grade in computed.values())
    assert float(computed["recall"].values) == 0.0
    assert float(computed["memorised"].values) == 0.0


@pytest.mark.parametrize("name", ["samples", "two_sample"])
def test_an_extractor_that_is_not_there_is_refused_before_the_run(name):
    assert GRADINGS[name].refuses(subject_of(REAL)) == ""
    refused = GRADINGS[name].refuses(subject_of(REAL, extractor="clasifier"))
    assert "did you mean 'classifier'" in refused


@pytest.mark.parametrize("name", ["samples", "two_sample"])
@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ("x.flatten()", "it gave a tensor of shape (18,)"),
        ("x / 0 - x / 0", "it gave NaN or infinity"),
        ("len(x)", "it gave a int"),
    ],
)
def test_an_extractor_that_gives_no_features_is_refused_before_the_run(
    tmp_path, name, returned, said
):
    (tmp_path / "mine.py").write_text(f"def f(x):\n    return {returned}\n")
    subject = subject_of(REAL, extractor=f"{tmp_path}/mine.py:f")
    assert said in GRADINGS[name].refuses(subject)


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
    in_order = dataclasses.replace(dataset_of(), test=Part(Images(x[kinds.argsort()]), None))
    computed = two_sample(subject_of(images(400, 9)[0], dataset=in_order, num_images=400))[0]
    assert abs(float(computed.values[0]) - 0.5) < 4 * math.sqrt(0.25 / 400)


def test_two_sample_test_needs_four_images():
    refuses = GRADINGS["two_sample"].refuses
    said = "it needs 4 generated images or more; there are 3: give more"
    assert said in refuses(subject_of(REAL, num_images=3))
    few = dataclasses.replace(dataset_of(), test=Part(Images(REAL[:3]), None))
    assert "needs 4 test images or more; there are 3" in refuses(subject_of(REAL, dataset=few))
    assert refuses(subject_of(REAL, num_images=4)) == ""
    assert two_sample(subject_of(REAL, num_images=4))


def test_work_of_the_two_sample_test_grows_with_pairs():
    """It takes as many images as there are test images, at most: 60."""
    work = [GRADINGS["two_sample"].work(subject_of(REAL, num_images=n)) for n in (10, 20, 60, 99)]
    assert work[1] - work[0] == 20**2 - 10**2
    assert work[2] - work[1] == 60**2 - 20**2
    assert work[3] == work[2]


# ------------------------------------------------------------------ fingerprints


def prints(*arguments, grading=samples, **more):
    hyper = {"num_neighbours": more.pop("num_neighbours")} if "num_neighbours" in more else {}
    return {g.name: g.fingerprint for g in grading(subject_of(*arguments, **more), **hyper)}


@pytest.mark.parametrize("grading", [samples, two_sample])
def test_the_same_protocol_has_the_same_fingerprint(grading):
    """Whatever the model, the stack and the process that made the extractor."""
    more = {"extractor": "classifier", "grading": grading}
    assert prints(REAL, **more) == prints(NOISE, REAL, dataset=dataset_of(), **more)


@pytest.mark.parametrize("grading", [samples, two_sample])
@pytest.mark.parametrize(
    "other",
    [
        {"num_images": 49},
        {"extractor": "pca"},
        {"dataset": dataset_of(fingerprint="g")},
        {"dataset": dataset_of(train=7)},
    ],
    ids=["images", "extractor", "data set", "split"],
)
def test_another_protocol_has_another_fingerprint(grading, other):
    usual = {"extractor": "classifier", "grading": grading}
    one, two = prints(REAL, **usual), prints(REAL, **(usual | other))
    pixels = {"memorised"} if "extractor" in other else set()  # no features in it
    assert {name for name in one if one[name] == two[name]} == pixels & {*one}


def test_fewer_test_images_are_another_protocol():
    dataset = dataset_of()
    fewer = dataclasses.replace(
        dataset, test=Part(Images(dataset.test.x[:50]), dataset.test.y[:50])
    )
    one, two = prints(REAL), prints(REAL, dataset=fewer)
    assert {name for name in one if one[name] == two[name]} == {"memorised"}


def test_the_number_of_neighbours_is_in_the_fingerprint_of_what_has_neighbours():
    one, two = prints(REAL), prints(REAL, num_neighbours=3)
    by_neighbours = {"precision", "recall", "density", "coverage"}
    assert {name for name in one if one[name] != two[name]} == by_neighbours
