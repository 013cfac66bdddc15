"""docs/out-and-in.md: its blocks do what the page says."""

import re
import shlex
import sys

import pytest

import vaebench as vb
from tests.support import ROOT
from tests.test_cli import call

PAGE = (ROOT / "docs" / "out-and-in.md").read_text()


def blocks(language, heading):
    """The blocks of a language in the section of a heading."""
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)[1]
    return re.findall(rf"^```{language}\n(.*?)^```", section, re.MULTILINE | re.DOTALL)


def test_the_loop_lowers_its_loss():
    (loop,) = blocks("python", "An objective in your own loop")
    names = {}
    exec(loop.replace("range(50)", "range(1)"), names)
    first = float(names["loss"].detach())
    exec(loop, names)
    assert float(names["loss"].detach()) < first - 1.0


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """What the block that loads has bound, and the folder that it ran in, with the study's runs."""
    folder, names = tmp_path_factory.mktemp("page"), {}
    (study,), (block,) = (blocks(kind, "A trained model in Python") for kind in ("toml", "python"))
    (folder / "small.toml").write_text(study)
    vb.run(folder / "small.toml", folder / "small", executor="inline", timings=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(block, names)
    return names, folder


def test_the_loaded_model_gives_the_shapes_that_are_written_beside(small):
    names, _ = small
    (block,) = blocks("python", "A trained model in Python")
    written = re.findall(r"^(\w+).* = .*  # \[([\d, ]+)\]", block, re.MULTILINE)
    assert len(written) == 7
    for name, shape in written:
        assert list(names[name].shape) == [int(n) for n in shape.split(",")], name
    assert {"nll", "active_units"} <= set(names["figures"]["metric"])


def test_the_written_model_gives_the_shapes_that_are_written_beside(small, monkeypatch):
    _, folder = small
    monkeypatch.chdir(folder)
    ((command,), (block,)) = (
        blocks(kind, "A trained model as plain PyTorch") for kind in ("sh", "python")
    )
    done = call(*shlex.split(command)[1:])
    assert done.exit_code == 0, done.output
    names = {}
    monkeypatch.setattr(sys, "path", [*sys.path])
    exec(block, names)
    del sys.modules["model"]
    assert names["logits"].shape == (4, 64) and names["samples"].shape == (16, 64)
