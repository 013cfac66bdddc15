"""docs/own-objective.md: its file is certified as the page says, and its study takes it."""

import json
import re
import subprocess
import sys

import pytest

from tests.support import ROOT

PAGE = (ROOT / "docs" / "own-objective.md").read_text()
MINE = ["scaled_rate", "laplace_prior", "logistic"]
BOTH = """
import json, pathlib, sys
from vaebench.cli import main
from vaebench.config.study import expand, read
from vaebench.core.plugins import load_plugins
study, *certified = sys.argv[1:]
load_plugins([certified[-1]])
configs = expand(read(pathlib.Path(study)))
print(json.dumps([config.objective.name for config in configs]))
main(["certify", *certified])
"""


def block(language):
    return re.search(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[1]


@pytest.mark.slow
def test_its_study_takes_its_file_which_is_certified(tmp_path):
    """In a process of its own, as the file registers for the rest of a process."""
    plugin, study = tmp_path / "mine.py", tmp_path / "objective.toml"
    plugin.write_text(block("python"))
    study.write_text(block("toml"))
    command = [sys.executable, "-c", BOTH, study, *MINE, "--plugin", plugin]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=True)
    names, _, certified = done.stdout.partition("\n")
    assert sorted(json.loads(names)) == sorted(["elbo", "scaled_rate", "elbo_mc"] * 3)
    assert all(name in certified for name in MINE)
    assert "FAILS" not in certified
