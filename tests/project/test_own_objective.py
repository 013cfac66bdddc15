"""docs/own-objective.md: its file is certified as the page says, and its study takes it."""

import json
import re
import subprocess
import sys

import pytest

from tests.support import ROOT

PAGE = (ROOT / "docs" / "own-objective.md").read_text()
MINE = ["scaled_rate", "laplace_prior", "logistic"]
STUDY = """
import json, pathlib, sys
from vaebench.config.study import expand, read
from vaebench.core.plugins import load_plugins
load_plugins([sys.argv[2]])
print(json.dumps([config.objective.name for config in expand(read(pathlib.Path(sys.argv[1])))]))
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The blocks of the page, as the files that a reader makes of them."""
    folder = tmp_path_factory.mktemp("mine")
    for language, name in (("python", "mine.py"), ("toml", "objective.toml")):
        block = re.search(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[1]
        (folder / name).write_text(block)
    return folder


def output(*arguments):
    """What a process of its own prints, as the file registers for the rest of a process."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.slow
def test_its_file_is_certified(files):
    plugin = files / "mine.py"
    shown = output("-m", "vaebench", "certify", *MINE, "--plugin", plugin)
    assert all(name in shown for name in MINE)
    assert "FAILS" not in shown


@pytest.mark.slow
def test_its_study_takes_it(files):
    names = json.loads(output("-c", STUDY, files / "objective.toml", files / "mine.py"))
    assert sorted(names) == sorted(["elbo", "scaled_rate", "elbo_mc"] * 3)
