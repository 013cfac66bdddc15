"""What is committed: source and small results, no data sets, wheels or weights."""

import shutil
import subprocess

import pytest

from tests.support import ROOT

MOST_BYTES = 5_000_000
FOLDERS = {".ci", "benchmarks", "docs", "examples", "results", "tests", "vaebench"}


@pytest.fixture(scope="module")
def git():
    """Give what a command of git prints of the repository; skip where there is none."""
    if not (shutil.which("git") and (ROOT / ".git").exists()):
        pytest.skip("needs the repository")

    def output(*command):
        done = subprocess.run(["git", *command], cwd=ROOT, capture_output=True, text=True)
        assert not done.stderr
        return done.stdout

    return output


def test_no_file_is_large(git):
    sizes = {name: (ROOT / name).stat().st_size for name in git("ls-files", "-z").split("\0")[:-1]}
    assert sizes
    assert {name: size for name, size in sizes.items() if size > MOST_BYTES} == {}


def test_no_file_has_both_sides_of_a_conflict(git):
    assert git("grep", "-lIE", "^(<<<<<<<|>>>>>>>) ") == ""


def test_results_of_a_trial_are_not_left_at_the_top(git):
    assert set(git("ls-tree", "-d", "--name-only", "HEAD").split()) == FOLDERS
