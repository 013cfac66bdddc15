"""Extractors of features by name: the same for all who ask, whatever the threads."""

import dataclasses

import pytest
import torch

from tests.support.labelled import dataset_of, images
from vaebench.core.errors import InputError
from vaebench.data import Images, Part, load
from vaebench.evaluation.samples.extractors import EXTRACTORS, extractor_for, why_not
from vaebench.evaluation.samples.features import Extractor, digest, features_of

# ------------------------------------------------------------------ by name


def test_auto_is_the_classifier_where_there_are_labels():
    assert extractor_for(dataset_of()).described.startswith("classifier 12-128-32, test accuracy 0")
    assert extractor_for(dataset_of(labels=False)).described == "pca 12"


def test_the_classifier_learns_its_labels():
    accuracy = extractor_for(load("digits", "none"), "classifier").described.split()[-1]
    assert float(accuracy) > 0.93


def test_its_accuracy_is_that_on_the_test_part():
    dataset = dataset_of()
    wrong = dataclasses.replace(
        dataset, test=Part(Images(dataset.test.x), (dataset.test.y + 1) % 3)
    )
    bare = dataclasses.replace(dataset, test=Part(Images(dataset.test.x), None))
    right_share, wrong_share = (
        float(extractor_for(d, "classifier").described.split()[-1]) for d in (dataset, wrong)
    )
    assert right_share > 0.8
    assert wrong_share < 0.2
    assert extractor_for(bare).described == "classifier 12-128-32, no test labels"


def test_the_classifier_is_the_same_whatever_the_threads_and_who_is_first():
    """Also where other random numbers were drawn before, and none are drawn from it."""
    dataset = load("digits", "none")
    computed = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        state = torch.manual_seed(threads).get_state()
        computed.append(EXTRACTORS["classifier"](dataset))
        assert torch.equal(torch.get_rng_state(), state)
    torch.set_num_threads(1)
    assert computed[0].fingerprint == computed[1].fingerprint
    one, two = (features_of(e, dataset.test.x) for e in computed)
    assert torch.equal(one, two)


def test_the_order_of_summation_does_not_reach_the_weights(monkeypatch):
    """Each batch in reverse order, as another machine may sum it: weights are on a grid."""
    from vaebench.evaluation.samples import classifier

    ours = EXTRACTORS["classifier"](dataset_of()).fingerprint
    gradients = classifier._gradients
    monkeypatch.setattr(
        classifier, "_gradients", lambda x, y, w: gradients(x.flip(0), y.flip(0), w)
    )
    assert EXTRACTORS["classifier"](dataset_of()).fingerprint == ours


def test_principal_components_keep_distances():
    """All of them: a rotation of the pixels less their mean."""
    dataset = dataset_of(labels=False)
    computed = features_of(extractor_for(dataset, "pca"), dataset.test.x)
    torch.testing.assert_close(
        torch.cdist(computed, computed), torch.cdist(*[dataset.test.x.double()] * 2)
    )
    variances = features_of(extractor_for(dataset, "pca"), dataset.train.x).var(0)
    assert bool((variances.diff() <= 1e-12).all())


def test_raw_features_are_the_pixels():
    dataset = dataset_of()
    computed = features_of(extractor_for(dataset, "raw"), dataset.test.x)
    assert torch.equal(computed, dataset.test.x.double())


def test_an_extractor_is_made_once_for_a_data_set():
    dataset = dataset_of()
    assert extractor_for(dataset) is extractor_for(dataset)
    assert extractor_for(dataset) is not extractor_for(dataset_of())


@pytest.mark.parametrize("name", ["classifier", "pca"])
def test_fingerprints_are_of_what_the_features_follow_from(name):
    prints = [extractor_for(dataset_of(seed), name).fingerprint for seed in (0, 0, 7)]
    assert prints[0] == prints[1] != prints[2]
    assert (
        len({extractor_for(dataset_of(), n).fingerprint for n in ("classifier", "pca", "raw")}) == 3
    )


def test_a_digest_sees_numbers_shapes_and_types():
    x = torch.arange(6.0)
    others = [x + 1, x.reshape(2, 3), x.double(), x.flip(0)]
    assert digest(x) == digest(x.clone()) == digest(torch.arange(12.0)[::2] / 2)
    assert len({digest(x), *map(digest, others)}) == 5


# ------------------------------------------------------------------ features of many


def test_features_come_in_chunks_that_do_not_show(monkeypatch):
    seen = []

    def first_two(x):
        seen.append(len(x))
        return x[:, :2]

    monkeypatch.setattr("vaebench.evaluation.samples.features.CACHE_BYTES", 7 * 2 * 4)
    x = images(3 * 10).reshape(3, 10, -1)
    computed = features_of(Extractor(lambda x: first_two(x) * 1, "two", ""), x)
    assert torch.equal(computed, x[..., :2].double())
    assert seen == [1, 7, 7, 7, 7, 2]


def test_features_that_turn_bad_later_are_refused():
    bad = Extractor(lambda x: x / (x.amax(1, keepdim=True) > 0), "of the light", "")
    assert features_of(bad, images(5)).shape == (5, 12)
    with pytest.raises(InputError, match=r"'of the light' must give finite features.*NaN"):
        features_of(bad, torch.cat([images(5), torch.zeros(1, 12)]))


def test_the_classifier_needs_labels():
    with pytest.raises(InputError, match="'classifier' needs labels; 'by hand' has no y_train"):
        extractor_for(dataset_of(labels=False), "classifier")
    assert all(why_not(dataset_of(), name) == "" for name in EXTRACTORS)
