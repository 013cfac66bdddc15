"""A bundle of a stranger as a results folder, once all of it has been checked.

Members are written only under names that MEMBER allows, of the sizes and hashes that the manifest
says, within MOST_BYTES; nothing in them is run, and arrays and weights are read without pickle.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from vaebench import results
from vaebench.core.errors import InputError
from vaebench.league.manifest import (
    FORMAT,
    MANIFEST,
    MEMBER,
    MOST_BYTES,
    MOST_MEMBERS,
    TIMINGS,
    Manifest,
    member,
    runs_in,
)
from vaebench.league.submission import Submission, check, naming
from vaebench.results import Record
from vaebench.results.files import storing

MOST_MANIFEST = 64 << 20
"""Bytes of a manifest, at most."""
NESTED = ("weights/", "examples/")
"""Members that are zip files themselves, which could grow when they are read."""


class _Format(msgspec.Struct):
    """What every manifest says, whatever its format."""

    format: int


def opened(path: Path, folder: Path) -> Submission:
    """Unpack a bundle to a new folder.

    Raises RefusedError, which names it, for what is no bundle, is damaged, or does not belong
    together.
    """
    with naming(path, folder):
        manifest = _unpacked(path, folder)
        records = [results.read(folder, run) for run in runs_in(manifest.members, "runs")]
        submission = Submission(
            path, folder, manifest, records, _timings(folder, manifest, records)
        )
        check(submission)
    return submission


def _timings(folder: Path, manifest: Manifest, records: Sequence[Record]) -> list[Record]:
    """The timing pass, of variants that it has runs of. Raises InputError where it is damaged."""
    if TIMINGS not in manifest.members:
        return []
    runs = {record.run for record in records}
    timed = results.timings(folder)
    if not timed:
        raise InputError(f"{TIMINGS} must be a timing pass; it is damaged")
    return [one for one in timed if runs & set(one.config["runs"])]


def _unpacked(path: Path, folder: Path) -> Manifest:
    """Write the members of a bundle to a folder, each of which is what the manifest says."""
    try:
        bundle = zipfile.ZipFile(path)
    except Exception as error:  # zipfile has no list of what a damaged file makes it raise
        raise InputError(
            f"it must be a bundle, as `vaebench submit` makes them: {error}"
        ) from error
    with bundle:
        manifest = _manifest(bundle)
        _check_members(bundle, manifest)
        for name, content in _contents(bundle, manifest):
            with storing(folder):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
    return manifest


def _manifest(bundle: zipfile.ZipFile) -> Manifest:
    content = _read(bundle, MANIFEST, MOST_MANIFEST)
    try:
        version = msgspec.json.decode(content, type=_Format).format
        if version != FORMAT:
            raise InputError(
                f"it must be of format {FORMAT}; it is of {version}: make it again, or take "
                f"another version of vaebench"
            )
        return msgspec.json.decode(content, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"its {MANIFEST} is damaged: {error}") from error


def _check_members(bundle: zipfile.ZipFile, manifest: Manifest) -> None:
    """Raises InputError for other members than the manifest's, names that lead elsewhere, and sizes
    that are too large, before any is read."""
    names = [info.filename for info in bundle.infolist()]
    if len(names) > MOST_MEMBERS:
        raise InputError(f"it must have at most {MOST_MEMBERS} members; it has {len(names)}")
    for name in manifest.members:
        if not MEMBER.fullmatch(name):
            raise InputError(f"no member may be called {name!r:.120}")
    for plugin in manifest.plugins:
        if plugin not in manifest.members:
            raise InputError(f"its plugin {plugin!r:.120} must be a member; it is not")
    if sorted(names) != sorted([MANIFEST, *manifest.members]):
        raise InputError("its members must be those of its manifest, once each; they are others")
    sizes = [one.size for one in manifest.members.values()]
    if min(sizes, default=0) < 0 or sum(sizes) > MOST_BYTES:
        raise InputError(f"its members must have at most {MOST_BYTES >> 20} MiB; they have more")


def _contents(bundle: zipfile.ZipFile, manifest: Manifest) -> Iterator[tuple[str, bytes]]:
    """The members with their contents. Raises InputError for one that is not what it should be."""
    for name, said in manifest.members.items():
        content = _read(bundle, name, said.size)
        if member(content) != said:
            raise InputError(f"{name} must be what its manifest says; it is damaged or changed")
        if name.startswith(NESTED):
            _check_nested(name, content)
        yield name, content


def _read(bundle: zipfile.ZipFile, name: str, most: int) -> bytes:
    """A member, of which no more is unpacked than it may have."""
    try:
        with bundle.open(name) as file:
            content = file.read(most + 1)
    except Exception as error:  # as above
        raise InputError(f"its {name} cannot be read, it is damaged: {error}") from error
    if len(content) > most:
        raise InputError(f"its {name} must have at most {most} bytes; it has more")
    return content


def _check_nested(name: str, content: bytes) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as inner:
            num = sum(info.file_size for info in inner.infolist())
    except Exception as error:  # as above
        raise InputError(f"its {name} is damaged: {error}") from error
    if num > MOST_BYTES:
        raise InputError(f"its {name} must have at most {MOST_BYTES >> 20} MiB unpacked")
