"""The command `doctor`: what is installed, and the cache of compiled code."""

import json

import pytest

from tests.test_cli import call
from vaebench.core import cache
from vaebench.training.stepping.compiled import library


@pytest.fixture
def kept(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = cache.root() / "graphs" / "one.so"
    cache.fetch(path, lambda made: made.write_text("a library") and None)
    return path


def lines(*options):
    done = call("doctor", *options)
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines()


def stated(*options):
    return json.loads("\n".join(lines("--json", *options)))


def by_name():
    return {line["name"]: line["value"] for line in stated()["installed"]}


def test_words_and_json_say_the_same(kept):
    said = lines()
    of = stated()
    for line in of["installed"]:
        assert f"{line['name']}: {line['value']}" in said
    assert {"torch", "triton", "C++ compiler", "device"} <= by_name().keys()
    compiled, _ = of["caches"]
    files = cache.sizes()
    assert (compiled["folder"], compiled["files"]) == (str(cache.root()), len(files))
    assert compiled["bytes"] == sum(path.stat().st_size for path in files)
    assert any(line.split()[:3] == ["compiled", "code", str(len(files))] for line in said)
    assert any(" of 512 MiB" in line for line in said)
    assert kept in files, "nothing is deleted unasked"


def test_data_sets_are_where_they_are_found(kept, tmp_path, monkeypatch):
    (tmp_path / "mnist.npz").write_text("")
    monkeypatch.setenv("VAEBENCH_DATA", str(tmp_path))
    places = {line["name"]: line["found"] for line in stated()["data"]}
    assert places["mnist"] == str(tmp_path / "mnist.npz")
    assert places["digits"].endswith("digits.csv.gz")
    assert places["shapes"] == "computed"
    assert places["fashion_mnist"].startswith("not here: fetched at first use")
    monkeypatch.setenv("VAEBENCH_DATA", str(tmp_path / "none"))
    (missing,) = (line for line in stated()["data"] if line["name"] == "mnist")
    assert missing["found"].startswith("no: $VAEBENCH_DATA must name the folder")


def test_why_steps_are_not_compiled_is_said(kept, monkeypatch):
    monkeypatch.setattr(library, "_unsupported", lambda: "the torch is another")
    assert by_name()["compiled steps"] == "no: the torch is another"


def test_a_compiler_that_is_not_there_is_said(kept, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    said = by_name()
    assert "No such file" in said["C++ compiler"]
    assert said["compiled steps"].startswith("no: compiled steps need ")


def test_prune_deletes_what_was_compiled(kept):
    assert lines("--prune")[-1].startswith("deleted: ")
    assert not kept.exists()
