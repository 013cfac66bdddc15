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


def by_name():
    return dict(line.split(": ", 1) for line in lines())


def test_each_line_is_a_name_with_what_is_known_of_it(kept):
    said = by_name()
    assert said == json.loads("\n".join(lines("--json")))
    assert {"torch", "triton", "C++ compiler", "device"} <= said.keys()
    assert said["compiled code"].startswith(f"{len(cache.files())} files in {cache.root()}, ")
    assert said["compiled code"].endswith(" of 512 MB")
    assert kept in cache.files(), "nothing is deleted unasked"


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
