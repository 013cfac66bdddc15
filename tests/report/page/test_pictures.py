"""Which runs are pictured: the one in the middle, the best variants first, while there is room."""

import math

import numpy as np
import pytest

from vaebench.report.page import pictures as module
from vaebench.report.page.pictures import album, typical_first
from vaebench.report.page.provenance import Member
from vaebench.results import About, Exhibit


def member(seed, score, run=None):
    return Member(run or f"{seed}", seed, "done", score, "10", "")


def test_the_run_of_the_middle_nll_comes_first_and_one_without_last():
    members = [member(seed, nll) for seed, nll in enumerate([9.0, 1.0, math.nan, 3.0, 2.0])]
    assert typical_first(members)[0].seed == 4
    assert typical_first(members)[-1].seed == 2
    assert [one.score for one in typical_first([member(0, 2.0), member(1, 1.0)])] == [1.0, 2.0]


def exhibit(original, reconstruction):
    about = About(name="r", caption="c", form="images", row_names=("original", "back"))
    rows = [np.full((2, 2, 2, 1), value, np.uint8) for value in (original, reconstruction)]
    return Exhibit(about, np.stack(rows))


def album_of(exhibits, samples=lambda run: None, places=None):
    members = {i: [member(i, 1.0, run)] for i, run in enumerate(exhibits)}
    spaces = dict.fromkeys(members, "s") if places is None else places
    return album(members, spaces, samples, lambda run: exhibits[run])


def test_what_all_variants_share_is_there_once():
    shown = album_of({"a": [exhibit(1, 2)], "b": [exhibit(1, 3)]})
    (gallery,) = shown.galleries
    assert [part.label for part in gallery.shared] == ["original"]
    assert [[p.label for p in one.parts] for one in gallery.pictures] == [["back"], ["back"]]
    (gallery,) = album_of({"a": [exhibit(1, 2)], "b": [exhibit(4, 3)]}).galleries
    assert not gallery.shared and len(gallery.pictures[0].parts) == 2
    (gallery,) = album_of({"a": [exhibit(1, 2)], "b": [exhibit(1, 2)]}).galleries
    assert not gallery.shared, "a picture is never empty"


def test_the_best_come_first_and_the_rest_are_counted_unread(monkeypatch):
    exhibits = {name: [exhibit(i, i)] for i, name in enumerate("abcd")}
    (gallery,) = album_of({"a": exhibits["a"]}).galleries
    monkeypatch.setattr(module, "MOST_BYTES", sum(p.size for p in gallery.pictures[0].parts) + 5)
    read = []
    members = {i: [member(i, 1.0, run)] for i, run in enumerate(exhibits)}
    order = {2: "s", 0: "s", 3: "s", 1: "s"}
    shown = album(members, order, lambda run: None, lambda run: read.append(run) or exhibits[run])
    assert [one.variant for one in shown.galleries[0].pictures] == [2]
    assert shown.left_out == [0, 3, 1] and read == ["c", "a"]


@pytest.mark.parametrize("samples", [lambda run: None, lambda run: b"png"])
def test_a_variant_without_anything_is_missing(samples):
    shown = album_of({"a": []}, samples)
    assert shown.missing == ([] if samples("a") else [0])
    assert [gallery.name for gallery in shown.galleries] == (["samples"] if samples("a") else [])
