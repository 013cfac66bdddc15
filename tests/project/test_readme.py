"""The README is true: its table is the committed one, and what it tells to write works."""

import re
import subprocess
import sys

import pytest

from tests.support import ROOT
from vaebench.config.study import expand, read

README = (ROOT / "README.md").read_text()


def block(language: str, containing: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", README, flags=re.S)
    return next(text for text in found if containing in text)


def test_the_table_is_the_committed_one():
    table = README.partition("<!-- table: start -->")[2].partition("<!-- table: end -->")[0]
    assert table.strip() == (ROOT / "results/reference/digits/table.md").read_text().strip()


def test_every_picture_is_there():
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", README)
    assert pictures
    assert all((ROOT / picture).is_file() for picture in pictures)


def test_the_study_can_be_run(tmp_path, tiny_npz):
    path = tmp_path / "mine.toml"
    path.write_text(block("toml", "mine"))
    sized = [f"base.data.name={tiny_npz}", "base.train.batch_size=8"]
    assert len(expand(read(path, sized))) == 20


@pytest.mark.slow
@pytest.mark.parametrize("command", ["certify", "list"])
def test_the_plugin_is_the_whole_file(tmp_path, command):
    path = tmp_path / "mine.py"
    path.write_text(block("python", "@vb.objective"))
    mine = ["scaled_rate", "laplace_prior", "logistic"]
    names = mine if command == "certify" else []
    done = subprocess.run(
        [sys.executable, "-m", "vaebench", command, *names, "--plugin", str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(name in done.stdout for name in mine)
    assert "FAILS" not in done.stdout
