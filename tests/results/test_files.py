"""Full disks, read-only folders and closed pipes: one line, nothing half-written, nothing lost."""

import contextlib
import errno
import fcntl
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.support.runs import tiny
from tests.support.studies import study_text
from vaebench import results
from vaebench.cli import main
from vaebench.config.resolve import resolve
from vaebench.core.errors import InputError, StorageError
from vaebench.data import lookup, publishers
from vaebench.results import files
from vaebench.running.harness import train_all


@pytest.fixture
def study(tmp_path, tiny_npz):
    path = tmp_path / "s.toml"
    path.write_text(study_text(tiny_npz))
    return path


def call(*arguments):
    return CliRunner(env={"COLUMNS": "200"}).invoke(main, [str(a) for a in arguments])


def refusing(number):
    def refuse(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.mark.parametrize("step", ["fsync", "chmod", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_no_temporary_file_survives(tmp_path, monkeypatch, step, number):
    monkeypatch.setattr(os, step, refusing(number))
    with pytest.raises(StorageError, match=f"{tmp_path}: {os.strerror(number)}"):
        results.write_atomically(tmp_path / "file", b"new")
    assert not list(tmp_path.iterdir())


def test_nor_where_the_user_interrupts(tmp_path, monkeypatch):
    def interrupt(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        results.write_atomically(tmp_path / "file", b"new")
    assert not list(tmp_path.iterdir())


def test_nor_one_that_is_full_in_truth(tmp_path):
    """A limit on the size of files is a disk without room that needs no rights to make."""
    code = f"""
import signal
from pathlib import Path
from vaebench import results
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    results.write_atomically(Path({str(tmp_path / "file")!r}), bytes(1 << 16))
except results.files.StorageError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 12, 1 << 12)),
    )
    assert done.stdout == (
        f"the output folder must be writable; {tmp_path}: File too large: make room there, and "
        f"give the same command again\n"
    )
    assert not list(tmp_path.iterdir())


def test_what_is_dated_in_the_future_is_cleared_and_what_is_not_ours_stays(tmp_path):
    results.prepare(tmp_path)
    ours = [tmp_path / "runs" / ".a.tmp", tmp_path / f"{files.PREFIX}a.tmp"]
    others = [tmp_path / ".a.tmp", tmp_path / "runs" / "a.tmp"]
    for path in ours + others:
        path.write_text("")
        ahead = time.time() + 7200
        os.utime(path, (ahead, ahead))
    results.prepare(tmp_path)
    assert not any(path.exists() for path in ours)
    assert all(path.exists() for path in others)


def test_what_a_killed_writer_left_is_cleared_at_once_and_a_living_one_is_left_alone(tmp_path):
    results.prepare(tmp_path)
    folders = (tmp_path, tmp_path / "runs")
    with contextlib.ExitStack() as writers:
        for folder in folders:
            writers.enter_context(files._unfinished(folder))
        (tmp_path / f"{files.HERE}left.tmp").write_text("{")
        results.prepare(tmp_path)
        assert [len(list(folder.glob("*.tmp"))) for folder in folders] == [1, 1]
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_file_that_was_cleared_before_it_was_locked_is_made_again(tmp_path, monkeypatch):
    lock, cleared = fcntl.flock, []

    def late(file, how):
        if not cleared:
            cleared.append(Path(file.name))
            cleared[0].unlink()
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    results.write_atomically(tmp_path / "file", b"new")
    assert cleared
    assert (tmp_path / "file").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_file_of_another_machine_is_left_alone_whose_lock_may_not_be_seen_here(tmp_path):
    other = tmp_path / f"{files.PREFIX}elsewhere-a.tmp"
    other.write_text("{")
    results.prepare(tmp_path)
    assert other.exists()
    os.utime(other, (time.time() - 7200,) * 2)
    results.prepare(tmp_path)
    assert not other.exists()


@pytest.mark.parametrize(("age_s", "stays"), [(60, True), (7200, False), (-7200, False)])
def test_where_there_are_no_locks_the_date_says_what_was_left(tmp_path, monkeypatch, age_s, stays):
    results.prepare(tmp_path)
    left = tmp_path / f"{files.PREFIX}a.tmp"
    left.write_text("")
    os.utime(left, (time.time() - age_s,) * 2)
    monkeypatch.setattr(fcntl, "flock", refusing(errno.ENOLCK))
    results.prepare(tmp_path)
    assert left.exists() == stays


def test_a_temporary_file_that_goes_while_it_is_looked_at_is_no_fault(tmp_path, monkeypatch):
    results.prepare(tmp_path)
    monkeypatch.setattr(Path, "glob", lambda self, pattern: iter([self / ".gone.tmp"]))
    results.prepare(tmp_path)


def test_a_disk_without_room_is_refused_before_the_work(study, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 2048))
    done = call("run", study, "--out", tmp_path / "out", "--executor", "inline")
    assert done.exit_code == 2
    assert "must have room for about 0.0 MiB of results; it has 0.0 MiB: make room" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list((tmp_path / "out" / "weights").iterdir())


def test_a_folder_that_cannot_be_written_is_refused_before_the_work(study, tmp_path, monkeypatch):
    """The refusal is the system's; the tests may run as root, who may write anywhere."""
    out = tmp_path / "out"
    assert call("run", study, "--out", out, "--executor", "inline").exit_code == 0
    monkeypatch.setattr(files.tempfile, "NamedTemporaryFile", refusing(errno.EROFS))
    monkeypatch.setattr("vaebench.running.regrade.evaluate", None)
    monkeypatch.setattr("vaebench.ops.check.correctness.check_operations", None)
    for command in (
        ("run", study, "--out", out),
        ("evaluate", out, "--keep"),
        ("evaluate", out, "--out", tmp_path / "rows"),
        ("report", out),
        ("kernels", "--out", tmp_path / "kernels"),
    ):
        done = call(*command)
        assert done.exit_code == 2, command
        (line,) = [text for text in done.stderr.splitlines() if text.startswith("vaebench: ")]
        assert "must be writable" in line
        assert "Read-only file system: choose another place" in line


def full_after(monkeypatch, num_files):
    """The disk has room for so many files more."""
    replace, left = os.replace, iter(range(num_files))

    def counted(*paths):
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(*paths)

    monkeypatch.setattr(os, "replace", counted)


@pytest.mark.parametrize("num_files", range(5))
def test_a_disk_that_fills_up_stops_the_study_in_one_line(study, tmp_path, monkeypatch, num_files):
    """Weights, images, what figures are means of, the record: no run is said to have failed."""
    out = tmp_path / "out"
    with monkeypatch.context() as full:
        full_after(full, num_files)
        done = call("run", study, "--out", out, "--executor", "inline", "--no-timings")
    assert done.exit_code == 2, done.output
    (line,) = [text for text in done.stderr.splitlines() if text.startswith("vaebench: ")]
    assert "No space left on device: make room there, and give the same command again" in line
    assert "Traceback" not in done.output
    assert not list(out.rglob("*.tmp"))
    assert not list((out / "runs").iterdir())
    again = call("run", study, "--out", out, "--executor", "inline", "--no-timings")
    assert again.exit_code == 0, again.output


def test_what_is_recorded_before_a_disk_is_full_stays(tmp_path, tiny_npz, monkeypatch):
    configs = resolve([tiny(tiny_npz, seed=i) for i in range(3)])
    with monkeypatch.context() as full:
        full_after(full, 3 + 4)
        with pytest.raises(StorageError):
            train_all(configs, tmp_path, "s", executor="inline")
    assert list(results.recorded(tmp_path).values()) == ["done"]
    assert set(train_all(configs, tmp_path, "s", executor="inline").values()) == {"done"}


def test_workers_that_find_no_room_stop_the_study_in_one_line(study, tmp_path):
    """Their files are limited to what a record takes, which is less than weights do."""
    code = f"""
import resource, signal, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (4200, 4200))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
sys.argv = {["vaebench", "run", str(study), "--out", str(tmp_path / "out"), "--no-timings"]!r}
from vaebench.cli import main
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    (line,) = [text for text in done.stderr.splitlines() if text.startswith("vaebench: ")]
    assert "out/weights: File too large: make room there" in line
    assert not list((tmp_path / "out").rglob("*.tmp"))
    assert not list((tmp_path / "out" / "runs").iterdir())


def test_a_file_that_cannot_be_opened_is_one_line(study, monkeypatch):
    monkeypatch.setattr("vaebench.config.study.read", refusing(errno.EMFILE))
    done = call("run", study)
    assert done.exit_code == 2
    assert done.stderr == (
        "vaebench: a file, or the standard output: Too many open files: mend that, and give the "
        "command again\n"
    )


def test_a_download_that_finds_no_room_leaves_nothing(tmp_path, monkeypatch):
    pooch = pytest.importorskip("pooch")
    monkeypatch.setattr(lookup, "cache_folder", lambda: tmp_path)
    (tmp_path / "x").write_bytes(b"")
    monkeypatch.setattr(pooch, "retrieve", lambda *args, **kwargs: str(tmp_path / "x"))
    source = publishers.Source({"x_train": ("", "")}, lambda content: content)
    monkeypatch.setitem(lookup.SOURCES, "mnist", source)
    monkeypatch.setattr(lookup.np, "savez_compressed", refusing(errno.ENOSPC))
    with pytest.raises(InputError, match="No space left on device"):
        lookup._fetch("mnist")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def command_line(*arguments, **streams):
    return subprocess.run(
        [sys.executable, "-m", "vaebench", *arguments], stderr=subprocess.PIPE, text=True, **streams
    )


@pytest.mark.parametrize("arguments", [("--help",), ("effective-beta", "--pixels", "9")])
def test_output_that_cannot_be_written_is_one_line(arguments):
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    with open("/dev/full", "w") as full:
        done = command_line(*arguments, stdout=full)
    assert done.returncode == 2
    assert done.stderr.startswith("vaebench: ")
    assert "No space left on device" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_reader_who_has_enough_ends_it_without_a_word():
    reader, writer = os.pipe()
    os.close(reader)
    done = command_line("--help", stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")
