"""The start of a user's own entry: written once, certified and trained as it is."""

import pytest

from tests.core.test_plugin_kinds import surroundings
from tests.test_cli import STUDY, call
from vaebench.models import MODELS


@pytest.fixture
def forgotten():
    """Takes back what the file of the test has registered."""
    yield
    MODELS._entries.pop("mine", None)
    surroundings._known.clear()


def test_a_new_model_trains_as_it_is(tmp_path, forgotten):
    file = tmp_path / "mine.py"
    done = call("new", "model", file)
    assert done.exit_code == 0
    assert f"vaebench certify mine --plugin {file}" in done.stdout
    study = tmp_path / "s.toml"
    study.write_text(STUDY.replace("widths = [8]", 'name = "mine", width = 16'))
    arguments = study, "--plugin", file, "--executor", "inline", "--no-timings"
    done = call("run", *arguments, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "4 of 4 runs done" in done.stdout
    listed = call("list", "models", "--plugin", file).stdout
    assert "width=128, dropout=0.1, activation=relu" in listed
    assert "Two hidden layers" in listed


def test_nothing_is_overwritten(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("precious")
    done = call("new", "model", file)
    assert (done.exit_code, len(done.output.splitlines())) == (2, 1)
    assert "is there already" in done.output
    assert file.read_text() == "precious"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("modle", "mine.py"), "unknown kind 'modle'; did you mean 'model'?"),
        (("model", "my-own.py"), "FILE names the entry"),
        (("model", "mine.txt"), "FILE names the entry"),
    ],
)
def test_a_mistake_is_answered_in_a_line(tmp_path, arguments, message):
    kind, name = arguments
    done = call("new", kind, tmp_path / name)
    assert (done.exit_code, len(done.output.splitlines())) == (2, 1)
    assert message in done.output
    assert not list(tmp_path.iterdir())
