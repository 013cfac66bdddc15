"""What is committed: source and small results, no data sets, wheels or weights."""

import shutil
import subprocess

import pytest

from tests.support import ROOT

MOST_BYTES = 5_000_000


def test_no_file_is_large():
    if not (shutil.which("git") and (ROOT / ".git").exists()):
        pytest.skip("needs the repository")
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    sizes = {name: (ROOT / name).stat().st_size for name in listing.split("\0") if name}
    assert sizes
    assert {name: size for name, size in sizes.items() if size > MOST_BYTES} == {}
