"""What holds of every exhibit of the registry: what is shown is of the run, however it was made."""

import dataclasses

import pytest
import torch

from tests.conformance.test_gradings import S, images, subject_of
from tests.support.runs import tiny
from vaebench.config.build import load_data
from vaebench.core.errors import InputError
from vaebench.data import Dataset
from vaebench.evaluation import chunks
from vaebench.evaluation.exhibits import EXHIBITS, Exhibit, exhibited
from vaebench.models import select
from vaebench.ops.noise import Noise


def configs(**more):
    return [tiny(seed=i, model={"latent_dim": 2, "widths": [8]}, **more) for i in range(S)]


@pytest.fixture(scope="module")
def subjects():
    """Three runs each of images, counts and real values."""
    parts = {part: images(1, i) for i, part in enumerate(("train", "valid", "test"))}
    bars = subject_of(configs(), Dataset("bars", (4, 4), "static", "f", **parts))
    vectors = [
        configs(likelihood=name, data={"name": data})
        for name, data in (("poisson", "counts"), ("gaussian_learned", "series"))
    ]
    return [bars, *(subject_of(runs, load_data(runs[0].data)) for runs in vectors)]


@pytest.fixture(scope="module")
def shown(subjects):
    return [by_name(subject) for subject in subjects]


def by_name(subject):
    return {one.entry.name: one.x for one in exhibited(subject)}


def agree(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, x in theirs.items():
        torch.testing.assert_close(ours[name], x, rtol=1e-3, atol=1e-4, msg=name)


def test_every_exhibit_is_shown_of_some_data_as_it_says(shown, subjects):
    assert {name for of_data in shown for name in of_data} == set(EXHIBITS)
    for of_data, subject in zip(shown, subjects, strict=True):
        for name, x in of_data.items():
            entry = EXHIBITS[name]
            assert x.ndim == 4 and x.shape[0] == S and x.isfinite().all(), name
            assert not entry.row_names or len(entry.row_names) == x.shape[1]
            assert entry.form == "columns" or x.shape[3] == subject.dataset.num_pixels


@pytest.mark.parametrize(
    ("shape", "names"),
    [((S, 2, 5), ()), ((1, 1, 2, 16), ()), ((S, 1, 2, 15), ()), ((S, 2, 2, 16), ("one",))],
)
def test_a_users_exhibit_of_another_shape_is_refused(subjects, monkeypatch, shape, names):
    mine = Exhibit(
        "mine", lambda subject: torch.zeros(shape), "c", "me", lambda s: True, "examples", names
    )
    monkeypatch.setattr(EXHIBITS, "_entries", {"mine": mine})
    with pytest.raises(InputError, match=r"exhibit 'mine' must give \[S, rows, columns, P\]"):
        exhibited(subjects[0])


def test_a_run_in_a_stack_is_shown_as_it_is_alone(shown, subjects):
    for of_data, subject in zip(shown, subjects, strict=True):
        keys = Noise(subject.noise.keys[1:2])
        alone = dataclasses.replace(subject, model=select(subject.model, [1]), noise=keys)
        agree({name: x[1:2] for name, x in of_data.items()}, by_name(alone))


def test_chunks_do_not_show(shown, subjects, monkeypatch):
    monkeypatch.setattr(chunks, "CACHE_BYTES", 3000)
    for of_data, subject in zip(shown, subjects, strict=True):
        agree(of_data, by_name(subject))
