"""The user's files that a study reads, for machines that do not see this one's disks.

They are packed once, and unpacked once on each machine, under a folder that stands for the root of
this machine's file system: what lies beside each other here does so there.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vaebench.config import RunConfig
from vaebench.core.errors import InputError
from vaebench.core.sources import files_of
from vaebench.data import is_path, stored_files
from vaebench.evaluation.samples.extractor_files import named
from vaebench.evaluation.samples.extractors import EXTRACTORS
from vaebench.running.job import Job
from vaebench.running.perform import within_root

DATA = Path("vaebench-data")
"""The folder of data sets by name, within the root."""


@dataclass(frozen=True)
class Parcel:
    """Files by their path within the root, and the digest of all."""

    files: Mapping[Path, bytes]
    digest: str


def pack(configs: Sequence[RunConfig], plugins: Sequence[str], cwd: Path) -> Parcel:
    """The files of some runs: data sets, extractors, plugins, and what these import.

    `cwd`: the folder that relative paths start from.
    """
    files = {within: path.read_bytes() for within, path in _files(configs, plugins, cwd)}
    total = hashlib.sha256()
    for within in sorted(files):
        total.update(f"{within} {hashlib.sha256(files[within]).hexdigest()}\n".encode())
    return Parcel(files, total.hexdigest()[:16])


def unpacked(parcel: Parcel) -> Path:
    """The root of the files on this machine. They are written where they are not there yet.

    Raises InputError where the folder is another user's.
    """
    root = Path(tempfile.gettempdir()) / f"vaebench-{os.getuid()}-{parcel.digest}"
    if not root.exists():
        _write(parcel, root)
    if root.stat().st_uid != os.getuid():
        raise InputError(f"{root} must be yours; it is another user's: remove it on this machine")
    return root


def moved(job: Job, root: Path) -> Job:
    """The job with the paths of the files as they lie under this root."""
    plugins = tuple(str(root / within_root(Path(plugin))) for plugin in job.plugins)
    return replace(job, plugins=plugins, root=root)


def _files(
    configs: Sequence[RunConfig], plugins: Sequence[str], cwd: Path
) -> Iterator[tuple[Path, Path]]:
    """Each file's path within the root, and here."""
    for name in {config.data.name for config in configs}:
        for path in stored_files(str(cwd / name) if is_path(name) else name):
            yield within_root(path) if is_path(name) else DATA / path.name, path
    for extractor in {config.evaluate.extractor for config in configs} - EXTRACTORS.keys():
        yield from _with_imports(cwd / named(extractor).path)
    for plugin in plugins:
        yield from _with_imports(Path(plugin))


def _with_imports(file: Path) -> Iterator[tuple[Path, Path]]:
    sources = files_of(file) if file.suffix == ".py" else [file]
    for path in {file, *sources}:
        yield within_root(path), path


def _write(parcel: Parcel, root: Path) -> None:
    """Write all files, or none: where another process is first, its folder is kept."""
    unfinished = Path(tempfile.mkdtemp(prefix="vaebench-", dir=root.parent))
    try:
        (unfinished / DATA).mkdir()
        for within, content in parcel.files.items():
            path = unfinished / within
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        unfinished.rename(root)
    except OSError:
        if not root.exists():
            raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
