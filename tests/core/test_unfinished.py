"""What is made in a folder of its own is cleared by the next start, however its maker ended."""

import fcntl
import os
import signal
import subprocess
import sys
import time

import pytest

from vaebench.core.unfinished import making


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def killed_while_making(target):
    """A process that dies by SIGKILL while it makes a folder's contents."""
    code = f"""
import os, signal
from pathlib import Path
from vaebench.core.unfinished import making
with making(Path({str(target)!r})) as folder:
    (folder / "half").write_text("{{")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL


def test_what_a_killed_maker_left_is_cleared_by_the_next_and_a_living_ones_is_not(tmp_path):
    target = tmp_path / "set"
    killed_while_making(target)
    (left,) = names(tmp_path)
    with making(target) as living, making(target) as other:
        assert names(tmp_path) == sorted([living.name, other.name])
        assert left not in names(tmp_path)
    assert not names(tmp_path)


@pytest.mark.parametrize(("age_s", "stays"), [(60, True), (7200, False)])
def test_another_machines_is_cleared_by_its_age_alone(tmp_path, age_s, stays):
    other = tmp_path / ".making-set-elsewhere-a"
    other.mkdir()
    os.utime(other, (time.time() - age_s,) * 2)
    with making(tmp_path / "set"):
        assert other.exists() == stays


def test_it_works_without_locks(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", lambda *_: (_ for _ in ()).throw(OSError()))
    with making(tmp_path / "set") as one, making(tmp_path / "set") as other:
        assert one.exists() and other.exists()
    assert not names(tmp_path)
