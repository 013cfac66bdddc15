"""Where the trials of a search are kept: a journal in the output folder, or a database."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalStorage

from vaebench.core.errors import InputError, StorageError
from vaebench.running.sweeps.quiet import quiet

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

REACH_S = 10
"""Seconds in which a database must answer."""
PORTS = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306}
CONNECT: dict[str, dict[str, Any]] = {
    "postgresql": {"connect_timeout": REACH_S},
    "mysql": {"connect_timeout": REACH_S},
}
"""Options of the drivers by which they give up."""


def open_journal(path: Path) -> BaseStorage:
    """A journal in a file; a last line that was cut short is removed first.

    Raises InputError where the rest is none.
    """
    lock = FileLock(path)
    lock.acquire()
    with path.open("a+b") as file:
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
    lock.release()
    try:
        return JournalStorage(Journal(str(path), lock_obj=lock))
    except Exception as error:  # there is no list of what damaged entries make Optuna raise
        raise InputError(
            f"{path} must hold trials as Optuna wrote them; it is damaged ({_line(error)}): put a "
            f"copy of it in its place, or move it away, and all trials are made again"
        ) from error


def open_database(url: str) -> BaseStorage:
    """The tables of Optuna in a database. Raises InputError where none answers."""
    try:
        from sqlalchemy.engine import make_url
        from sqlalchemy.exc import ArgumentError, SQLAlchemyError

        address = make_url(url)
    except ImportError as error:
        raise InputError(f"a database needs {error.name}: install the extra, .[sweep]") from error
    except ArgumentError as error:
        raise InputError(
            f"[sweep] storage must be a database's URL, as sqlite:///sweep.db or "
            f"postgresql://USER@HOST/NAME; got {url!r}"
        ) from error
    backend, shown = address.get_backend_name(), address.render_as_string(hide_password=True)
    _check_answers(address, backend, shown)
    try:
        options = {"connect_args": CONNECT[backend]} if backend in CONNECT else {}
        return optuna.storages.get_storage(RDBStorage(url, engine_kwargs=options))
    except ImportError as error:
        raise InputError(f"{shown} needs a driver that is not installed: {_line(error)}") from error
    except (SQLAlchemyError, optuna.exceptions.OptunaError, OSError, RuntimeError) as error:
        raise InputError(
            f"[sweep] storage must be a database that Optuna can use; {shown}: {_line(error)}"
        ) from error


@contextmanager
def closing(storage: BaseStorage) -> Iterator[BaseStorage]:
    """Let go of a database's connections at the end; a journal has none."""
    try:
        yield storage
    finally:
        storage.remove_session()
        if isinstance(backend := getattr(storage, "_backend", None), RDBStorage):
            backend.engine.dispose()


def open_study(
    storage: BaseStorage, name: str, directions: Sequence[str], metrics: Sequence[str]
) -> optuna.Study:
    """The study of that name in a storage, made where it is not there."""
    with quiet():
        study = optuna.create_study(
            study_name=name, storage=storage, directions=directions, load_if_exists=True
        )
        if study.metric_names is None:
            study.set_metric_names(list(metrics))
    return study


class Journal(JournalFileBackend):  # type: ignore[misc]
    """A journal that can take many entries in one write, which waits for the disk once.

    While they wait, nobody else may write: the lock on the output folder sees to that.
    """

    pending: list[dict[str, Any]] | None = None
    num_written = 0

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        if self.pending is None:
            self.write(logs)
        else:
            self.pending += logs

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        if self.pending is None:
            yield from super().read_logs(log_number_from)
        else:
            yield from self.pending[log_number_from - self.num_written :]

    def write(self, logs: list[dict[str, Any]]) -> None:
        """Append entries to the file: all or, where the process dies, the first of them."""
        super().append_logs(logs)

    def begin(self) -> None:
        """Let entries wait from now on. All that the file holds has been read."""
        self.pending, self.num_written = [], max(self._log_number_offset)

    def finish(self) -> None:
        """Write what waits. Its reader knows it already, so the file is read after it."""
        logs, self.pending = self.pending, None
        if logs:
            self.write(logs)
            end = self.num_written + len(logs)
            self._log_number_offset[end] = os.path.getsize(self._file_path)


@contextmanager
def at_once(storage: BaseStorage) -> Iterator[None]:
    """Write what is stored within in one go, at its end; databases write each entry by itself.

    Where something is raised within, nothing of it is written.
    """
    backend = getattr(storage, "_backend", None)
    if not isinstance(backend, Journal):
        yield
        return
    backend.begin()
    yield
    backend.finish()


class FileLock:
    """A file lock that the system frees when its holder dies; Optuna's own would remain."""

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR)

    def acquire(self) -> bool:
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)


@contextmanager
def storing(what: str) -> Iterator[None]:
    """Turn what a database refuses within into a StorageError that names it."""
    try:
        yield
    except (optuna.exceptions.StorageInternalError, OSError) as error:
        raise StorageError(
            f"the trials of a sweep must be stored; {what}: {_line(error)}: see to it, and give "
            f"the same command again"
        ) from error


def _check_answers(address: URL, backend: str, shown: str) -> None:
    """Raises InputError where nothing listens at the address; some drivers would try for long."""
    port = address.port or PORTS.get(backend)
    if not address.host or port is None or address.host.startswith("/"):
        return  # a file, a socket on this machine, or a driver whose port is not known
    try:
        socket.create_connection((address.host, port), REACH_S).close()
    except OSError as error:
        raise InputError(
            f"[sweep] storage must be a database that answers within {REACH_S} s; {shown}: "
            f"{error.strerror or error}: start it, or leave storage out for a journal in --out"
        ) from error


def _line(error: Exception) -> str:
    """The first line of what went wrong, of the error that was first."""
    first: BaseException = error
    while isinstance(first.__cause__, BaseException):
        first = first.__cause__
    return (str(first).strip().splitlines() or [type(first).__name__])[0]
