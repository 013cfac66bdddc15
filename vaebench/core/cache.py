"""Code that was compiled on this machine, kept on disk: whole files of one user, in bounded space.

What lies here is run, so a file counts only where it and its folder belong to this user and nobody
else can write to them, and where it ends with the hash of what is before. A file appears at once,
when it is whole. Of several processes that want the same one, one makes it while the others wait;
the kernel holds the lock, so it ends with its process, however that ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from vaebench.core.errors import InputError

DEFAULT_MB = 512
"""The most that all files together may take, unless VAEBENCH_CACHE_MB says otherwise. A graph of a
small model takes 0.1 to 0.3 MB."""
SEAL_BYTES = hashlib.sha256().digest_size
HALF_MADE, LOCKS = "making-", "locks"
"""How the names of folders begin in which a file is made, and the name of that of locks."""
NOT_KEPT = HALF_MADE, LOCKS
ABANDONED_S = 3600.0
"""The age at which a folder in which a file is made is that of a process that was killed."""


class CacheError(OSError):
    """Why a folder is not used."""


def root() -> Path:
    """The folder of compiled code, of this user: below $XDG_CACHE_HOME or ~/.cache."""
    folder = os.environ.get("XDG_CACHE_HOME")
    return (Path(folder) if folder else Path.home() / ".cache") / "vaebench" / "native"


def most_bytes() -> int:
    """The most that the files may take together. Raises InputError for what is no size."""
    setting = os.environ.get("VAEBENCH_CACHE_MB", str(DEFAULT_MB))
    if not setting.isdecimal():
        raise InputError(f"VAEBENCH_CACHE_MB must be a whole number of megabytes; got {setting!r}")
    return int(setting) << 20


def fetch(path: Path, make: Callable[[Path], None]) -> bool:
    """See to it that a whole file lies at `path`, in the folder of compiled code or one below it.

    `make` writes one to the path that it is given, where there is none. Returns whether there was
    one. Raises CacheError for a folder of another user, OSError where one cannot be written, and
    what `make` raises.
    """
    prepare(path.parent)
    if use(path):
        return True
    half_made = f"{HALF_MADE}{path.name}-"
    with locked(path) as is_alone:
        if use(path):
            return True
        for left in path.parent.glob(f"{half_made}*") if is_alone else ():
            shutil.rmtree(left, ignore_errors=True)  # its maker, who held the lock, was killed
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=half_made) as folder:
            made = Path(folder) / path.name
            make(made)
            with made.open("ab") as file:
                file.write(_seal(made.read_bytes()))
            made.chmod(0o600)
            made.replace(path)
    prune(most_bytes(), but=path)
    return False


def contents(path: Path) -> bytes | None:
    """What a file holds before its seal; None where there is no whole file of this user's."""
    try:
        prepare(path.parent)
        return path.read_bytes()[:-SEAL_BYTES] if is_whole(path) else None
    except OSError:
        return None


def is_whole(path: Path) -> bool:
    """Whether a file is there, is this user's alone, and is as it was written."""
    try:
        if not _is_ours(path.stat()):
            return False
        data = path.read_bytes()
    except OSError:
        return False
    return data[-SEAL_BYTES:] == _seal(data[:-SEAL_BYTES])


def prepare(folder: Path) -> None:
    """Make a folder that only this user can write to, or check that it is one.

    Raises CacheError where it is another user's, OSError where it cannot be made.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.stat()
    if status.st_uid != os.geteuid():
        raise CacheError(
            f"{folder} must belong to the user who runs what it holds; it belongs to user "
            f"{status.st_uid}: choose another folder by XDG_CACHE_HOME"
        )
    if not _is_ours(status):
        folder.chmod(stat.S_IMODE(status.st_mode) & ~0o022)


def sizes() -> dict[Path, int]:
    """The bytes of all files that are kept, those used last at the end.

    What another process deletes meanwhile does not count.
    """
    kept = {}
    for folder, folders, names in os.walk(root()):
        folders[:] = [name for name in folders if not name.startswith(NOT_KEPT)]
        for path in (Path(folder, name) for name in names):
            with contextlib.suppress(FileNotFoundError):
                kept[path] = path.stat()
    by_use = sorted(kept.items(), key=lambda item: item[1].st_mtime)
    return {path: status.st_size for path, status in by_use}


def prune(most: int = 0, but: Path | None = None) -> int:
    """Delete the files that were not used for longest until the others take at most so many bytes.

    `but`: this one stays. Returns how many were deleted. One that a process has loaded can be
    deleted: it goes when the process ends.
    """
    _clear_half_made()
    kept = sizes()
    total, deleted = sum(kept.values()), 0
    for path, size in kept.items():
        if total <= most:
            break
        if path != but:
            path.unlink(missing_ok=True)
            total, deleted = total - size, deleted + 1
    return deleted


@contextlib.contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold a file's name while it is made; others wait. Gives whether nobody else makes it, which
    all may do at once where there are no locks."""
    folder = root() / LOCKS
    prepare(folder)
    with (folder / f"{path.name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:  # a file system without locks: each makes a whole file
            yield False
        else:
            yield True


def use(path: Path) -> bool:
    """Whether a file is whole; one that is says that it was used now, another is deleted."""
    if not is_whole(path):
        path.unlink(missing_ok=True)
        return False
    try:
        os.utime(path)
    except FileNotFoundError:  # another process has deleted it just now
        return False
    return True


def _clear_half_made() -> None:
    """Delete what processes left that were killed while they made a file."""
    for parent, folders, _ in os.walk(root()):
        for half_made in (Path(parent, name) for name in folders if name.startswith(HALF_MADE)):
            with contextlib.suppress(FileNotFoundError):  # it became whole meanwhile
                if time.time() - half_made.stat().st_mtime > ABANDONED_S:
                    shutil.rmtree(half_made, ignore_errors=True)


def _is_ours(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not status.st_mode & 0o022


def _seal(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
