"""Every command with a table prints the same as JSON, in one style, and nothing else."""

import json
import re

import pytest

from tests.support import ROOT
from tests.support.runs import tiny
from tests.test_cli import STUDY, call
from vaebench.cli import main
from vaebench.config.resolve import resolve
from vaebench.league import submit
from vaebench.running.harness import run_all

KEY = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")
"""Words in snake case; a dot in the name of a setting, as in train.learning_rate."""
ENOUGH = ("--set", "axes.seed=0", "--set", "axes.objective=beta_elbo", "--executor", "inline")
EXAMPLES = {
    "list": [[], ["likelihoods"]],
    "certify": [["elbo"]],
    "effective-beta": [[]],
    "compare": [["FOLDER"]],
    "diff": [["FOLDER", "FOLDER"]],
    "explain": [["FOLDER"]],
    "runs": [["FOLDER"], ["FOLDER", "--show", "RUN"]],
    "evaluate": [["FOLDER"], ["FOLDER", "--budget"]],
    "report": [["FOLDER", "--out", "NEW", "--format", "csv"]],
    "gradients": [["STUDY", "--out", "NEW", "--samples", "1", "--replicas", "16", *ENOUGH[:4]]],
    "kernels": [[]],
    "run": [["STUDY", "--dry-run"], ["STUDY", "--out", "NEW", "--no-timings", *ENOUGH]],
    "sweep": [
        ["STUDY", "--dry-run", "--trials", "2"],
        ["STUDY", "--out", "NEW", "--trials", "1", "--no-timings", *ENOUGH],
    ],
    "reproduce": [["--list"]],
    "doctor": [[]],
    "league": [["BUNDLE", "--out", "NEW"]],
}
"""Arguments of each command that prints a table."""
WITHOUT_TABLE = {"completion", "export", "export-model", "merge", "new", "submit"}
PAGE = (ROOT / "docs" / "command-line.md").read_text()
CALLS = [(name, arguments) for name, all_of in EXAMPLES.items() for arguments in all_of]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_data):
    """Two variants of two seeds each."""
    out = tmp_path_factory.mktemp("json") / "out"
    configs = [tiny(tiny_data, objective=o, seed=s) for o in ("elbo", "elbo_mc") for s in range(2)]
    run_all(resolve(configs), out, "s", executor="inline", timings=False)
    return out


@pytest.fixture(scope="module")
def bundle(folder):
    """Its bundle for a league."""
    path = folder.with_name("mine.zip")
    submit(folder, path)
    return path


def test_every_command_is_tried_or_prints_no_table():
    assert EXAMPLES.keys() | WITHOUT_TABLE == main.commands.keys()
    options = {name: command.params for name, command in main.commands.items()}
    with_json = {
        name for name, params in options.items() if any("--json" in o.opts for o in params)
    }
    assert with_json == EXAMPLES.keys()


@pytest.mark.parametrize(("command", "arguments"), CALLS, ids=str)
def test_one_object_in_one_style_and_nothing_else(
    command, arguments, folder, bundle, tmp_path, monkeypatch
):
    from vaebench.ops.check import speed

    monkeypatch.setattr(speed.time_operations, "__defaults__", ((),))
    monkeypatch.setenv("TRITON_INTERPRET", "1")  # nothing is compiled for a GPU
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.toml").write_text(STUDY)
    run = next((folder / "runs").glob("*.json")).stem
    places = {"FOLDER": folder, "RUN": run, "NEW": tmp_path / "new", "STUDY": "study.toml"}
    places["BUNDLE"] = bundle
    done = call(command, *(places.get(word, word) for word in arguments), "--json")
    assert done.exit_code == 0, done.output
    stated = json.loads(done.stdout)
    assert stated.pop("schema") == 1
    assert stated
    for name, part in stated.items():
        assert KEY.fullmatch(name)
        assert command == "list" or f"`{name}`" in PAGE, "the page does not tell of it"
        assert_in_style(name, part)


def assert_in_style(name, part):
    """A table: objects with the same keys; a list of texts; or a single value."""
    if name == "record":
        return  # as its file has it
    lines = part if isinstance(part, list) else []
    assert not isinstance(part, dict)
    assert {type(line) for line in lines} in (set(), {str}, {dict})
    if lines and isinstance(lines[0], dict):
        assert all(KEY.fullmatch(key) for line in lines for key in line), lines[0].keys()
        assert len({frozenset(line) for line in lines}) == 1, f"{name}: keys differ by line"
