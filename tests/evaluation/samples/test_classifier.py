"""Which extractor `auto` is: a classifier where it learns something, else principal components."""

import dataclasses

import pytest
import torch

from tests.support.labelled import dataset_of
from vaebench.core.errors import InputError
from vaebench.data import Images, Part, load
from vaebench.evaluation.samples.extractors import EXTRACTORS, auto, extractor_for


def labelled_by(label):
    """The data set by hand with other labels: (images [N, P]) -> [N], or None, by part."""
    dataset = dataset_of(labels=False)

    def part(name):
        x = getattr(dataset, name).x
        return Part(Images(x), label(x, name))

    return dataclasses.replace(dataset, **{n: part(n) for n in ("train", "valid", "test")})


def brightest(x, name="train"):
    return x[:, :3].argmax(1)


def by_chance(x, name):
    return torch.randint(4, (len(x),), generator=torch.Generator().manual_seed(len(x)))


def where(*names):
    """Labels that can be learned, in these parts alone."""
    return lambda x, name: brightest(x) if name in names else None


NO_USE = {
    "one class": (lambda x, name: torch.zeros(len(x), dtype=torch.int64), "all training labels"),
    "another one class": (lambda x, name: torch.full((len(x),), 3), "all training labels are one"),
    "one class in train": (
        lambda x, name: 0 * brightest(x) if name == "train" else brightest(x),
        "all training labels are one",
    ),
    "a class each": (lambda x, name: torch.arange(len(x)), "no better than guessing"),
    "chance": (by_chance, "a classifier of the labels is no better than guessing"),
    "labels of train that test does not share": (
        lambda x, name: (brightest(x) + (name != "train")) % 3,
        "no better than guessing",
    ),
}


@pytest.mark.parametrize("what", NO_USE)
def test_labels_of_no_use_leave_principal_components_and_it_is_said(what):
    label, reason = NO_USE[what]
    dataset = labelled_by(label)
    computed = auto(dataset)
    assert computed.described.startswith("pca 12 (") and reason in computed.described
    assert computed.fingerprint == EXTRACTORS["pca"](dataset).fingerprint


@pytest.mark.parametrize("names", [("train",), ("train", "valid"), ("train", "test")])
def test_labels_that_are_missing_in_part_are_used(names):
    dataset = labelled_by(where(*names))
    assert auto(dataset).fingerprint == EXTRACTORS["classifier"](dataset).fingerprint


def test_no_training_labels_are_no_labels():
    assert auto(labelled_by(where("valid", "test"))).described == "pca 12"


def test_a_test_part_of_one_class_does_not_decide():
    dataset = labelled_by(lambda x, name: brightest(x) * (name != "test"))
    assert auto(dataset).described.startswith("classifier")


@pytest.mark.parametrize("name", ["digits", "shapes"])
def test_ordinary_data_sets_keep_their_classifier(name):
    dataset = load(name, "none")
    assert auto(dataset).fingerprint == EXTRACTORS["classifier"](dataset).fingerprint


def test_a_classifier_of_one_class_is_refused_where_it_is_asked_for():
    label, _ = NO_USE["another one class"]
    message = "needs two classes or more; all of y_train of 'by hand' are 3: take 'pca'"
    with pytest.raises(InputError, match=message):
        extractor_for(labelled_by(label), "classifier")
