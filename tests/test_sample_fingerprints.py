"""Fingerprints of sample quality: equal for one protocol, different where any part of it is."""

import dataclasses

import pytest
from given_images import NOISE, REAL, dataset_of, subject_of

from vaebench.data import Part
from vaebench.evaluation.samples.quality import samples
from vaebench.evaluation.samples.two_sample import two_sample


def prints(*given, grading=samples, **more):
    hyper = {"num_neighbours": more.pop("num_neighbours")} if "num_neighbours" in more else {}
    return {g.name: g.fingerprint for g in grading(subject_of(*given, **more), **hyper)}


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
    fewer = dataclasses.replace(dataset, test=Part(dataset.test.x[:50], dataset.test.y[:50]))
    one, two = prints(REAL), prints(REAL, dataset=fewer)
    assert {name for name in one if one[name] == two[name]} == {"memorised"}


def test_the_number_of_neighbours_is_in_the_fingerprint_of_what_has_neighbours():
    one, two = prints(REAL), prints(REAL, num_neighbours=3)
    by_neighbours = {"precision", "recall", "density", "coverage"}
    assert {name for name in one if one[name] != two[name]} == by_neighbours
