"""Compiled code on disk: whole, of this user alone, made once, and in bounded space."""

import fcntl
import multiprocessing
import os
import signal
import time
from functools import partial

import pytest

from vaebench.core import cache
from vaebench.core.errors import InputError


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return cache.root()


def write(text, path):
    path.write_text(text)


def fails(path):
    pytest.fail("it is there")


def fetch(path, text="a library"):
    return cache.fetch(path, partial(write, text))


def test_a_file_is_made_once(root):
    path = root / "graphs" / "one.so"
    assert not fetch(path)
    assert cache.fetch(path, fails)
    assert cache.contents(path) == b"a library"
    assert list(cache.sizes()) == [path]


@pytest.mark.parametrize(
    "torn", [lambda data: data[:-1], lambda data: b"", lambda data: b"x" + data]
)
def test_a_file_that_is_not_as_it_was_written_is_made_again(root, torn):
    path = root / "one.so"
    fetch(path)
    path.write_bytes(torn(path.read_bytes()))
    assert not cache.is_whole(path)
    assert cache.contents(path) is None
    assert not fetch(path, "another")
    assert cache.contents(path) == b"another"


def test_a_file_that_others_can_write_to_is_made_again(root):
    path = root / "one.so"
    fetch(path)
    path.chmod(0o666)
    assert not cache.is_whole(path)
    assert not fetch(path)
    assert path.stat().st_mode & 0o777 == 0o600


def test_only_this_user_can_write_to_the_folders(root):
    root.mkdir(parents=True)
    root.chmod(0o777)
    fetch(root / "one.so")
    fetch(root / "graphs" / "two.so")
    assert all(not folder.stat().st_mode & 0o022 for folder in (root, root / "graphs"))


def test_nothing_is_used_of_a_folder_of_another_user(root, monkeypatch):
    path = root / "one.so"
    fetch(path)
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    assert not cache.is_whole(path)
    assert cache.contents(path) is None
    with pytest.raises(cache.CacheError, match="must belong to the user who runs"):
        fetch(path)


def test_nothing_is_left_of_a_file_that_cannot_be_made(root):
    path = root / "one.so"

    def breaks(made):
        made.write_text("half")
        raise RuntimeError("out of order")

    with pytest.raises(RuntimeError, match="out of order"):
        cache.fetch(path, breaks)
    assert cache.sizes() == {}
    assert not list(root.glob(f"{cache.HALF_MADE}*"))


def make_slowly(path, log):
    with log.open("a") as file:
        file.write("made\n")
    time.sleep(0.3)
    path.write_text("a library")


def fetch_slowly(path, log):
    cache.fetch(path, partial(make_slowly, log=log))


def started(*arguments, target=fetch_slowly):
    process = multiprocessing.get_context("fork").Process(target=target, args=arguments)
    process.start()
    return process


def test_of_several_processes_one_makes_it(root, tmp_path):
    path, log = root / "one.so", tmp_path / "log"
    workers = [started(path, log) for _ in range(4)]
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert log.read_text() == "made\n"


def hold(path, taken):
    with cache.locked(path):
        taken.set()
        time.sleep(60.0)


def test_a_lock_ends_with_the_process_that_holds_it(root):
    path, taken = root / "one.so", multiprocessing.get_context("fork").Event()
    holder = started(path, taken, target=hold)
    taken.wait()
    with (root / cache.LOCKS / "one.so.lock").open("w") as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    assert not fetch(path)


def test_what_was_used_last_stays(root, monkeypatch):
    monkeypatch.setenv("VAEBENCH_CACHE_MB", "1")
    paths = [root / "graphs" / f"{i}.so" for i in range(4)]
    for age, path in enumerate(paths[:3]):
        fetch(path, "x" * 300_000)
        os.utime(path, (1000 + age, 1000 + age))
    fetch(paths[0])  # used now, though made first
    fetch(paths[3], "x" * 300_000)
    assert list(cache.sizes()) == [paths[2], paths[0], paths[3]]


def test_what_is_larger_than_all_may_be_is_kept_alone(root, monkeypatch):
    monkeypatch.setenv("VAEBENCH_CACHE_MB", "1")
    fetch(root / "one.so")
    fetch(root / "two.so", "x" * (2 << 20))
    assert list(cache.sizes()) == [root / "two.so"]


def test_pruning_takes_all_and_what_killed_processes_left(root):
    fetch(root / "one.so")
    left = root / f"{cache.HALF_MADE}left"
    left.mkdir()
    os.utime(left, (0, 0))
    assert cache.prune() == 1
    assert cache.sizes() == {}
    assert not left.exists()


@pytest.mark.parametrize("has_locks", [True, False])
def test_what_a_killed_process_has_half_made_goes_when_the_file_is_made(
    root, monkeypatch, has_locks
):
    """At once where locks tell that its maker is gone; that of another file stays."""
    mine, other = (root / f"{cache.HALF_MADE}{name}.so-left" for name in ("one", "two"))
    for folder in (mine, other):
        folder.mkdir(parents=True)
    if not has_locks:
        monkeypatch.setattr(cache.fcntl, "flock", refuse)
    fetch(root / "one.so")
    assert (mine.exists(), other.exists()) == (not has_locks, True)


class ReadAtOnce(list):
    """What a folder held when it was read, as os.scandir tells it."""

    def __enter__(self):
        return iter(self)

    def __next__(self):
        if not self:
            raise StopIteration
        return self.pop(0)

    def __exit__(self, *exception):
        pass


def test_what_other_processes_delete_meanwhile_stops_nobody(root, monkeypatch):
    fetch(root / "one.so")
    fetch(root / "two.so")
    scandir, half_made = os.scandir, root / f"{cache.HALF_MADE}two.so-left"

    def read_and_deleted(folder):
        half_made.mkdir(exist_ok=True)
        with scandir(folder) as entries:
            was_there = ReadAtOnce(entries)
        (root / "one.so").unlink(missing_ok=True)
        half_made.rmdir()
        return was_there

    monkeypatch.setattr(os, "scandir", read_and_deleted)
    assert cache.prune() == 1


def refuse(file, how):
    raise OSError("No locks available")


@pytest.mark.parametrize("size", ["much", "-1", "1.5", ""])
def test_a_size_is_a_whole_number(monkeypatch, size):
    monkeypatch.setenv("VAEBENCH_CACHE_MB", size)
    with pytest.raises(InputError, match="VAEBENCH_CACHE_MB must be a whole number"):
        cache.most_bytes()
