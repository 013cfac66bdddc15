"""A results folder as a bundle: one file, the same bytes for the same folder."""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from vaebench import results
from vaebench.config import study as studies
from vaebench.config.resolve import resolve
from vaebench.core.errors import InputError, InputWarning
from vaebench.core.plugins import load_plugins
from vaebench.core.sources import files_of
from vaebench.league.manifest import (
    MANIFEST,
    MEMBER,
    MOST_BYTES,
    PARTS,
    PLUGINS,
    STUDY,
    TIMINGS,
    manifest_of,
    member,
)
from vaebench.league.submission import Submission, check, check_record
from vaebench.results import Record
from vaebench.running.recording import config_of

UNDATED = (1980, 1, 1, 0, 0, 0)
"""The date of every member: the earliest that a zip file can say."""
PACKED = (".json", ".toml", ".py")
"""Ends of members that are compressed; others are so already, or are random numbers."""


def submit(
    folder: Path,
    out: Path,
    *,
    name: str = "",
    study: Path | None = None,
    plugins: Sequence[str] = (),
    weights: bool = True,
) -> int:
    """Write the runs of a results folder as a bundle; how many they are.

    `name`: what the league calls the submission, by default the folder's name. `study`: its file,
    all of whose runs must be recorded. `plugins`: the files that define what the runs are made of.
    Models from elsewhere, which have no configuration, are left out. Raises InputError for a folder
    whose runs a league would refuse, and plugins that are missing or are not those of the runs.
    """
    load_plugins(plugins)
    records = _records(folder)
    _check_plugins(records, plugins)
    contents = dict(_contents(folder, records, weights))
    if study is not None:
        _check_complete(study, records)
        contents[STUDY] = study.read_bytes()
    sources = {PLUGINS + path: text for path, text in _sources(plugins).items()}
    contents |= sources
    _check_size(contents)
    members = {path: member(content) for path, content in contents.items()}
    chosen = [f"{PLUGINS}{Path(plugin).name}" for plugin in plugins]
    title = name or folder.resolve().name
    manifest = manifest_of(title, records, members, chosen)
    check(Submission(out, folder, manifest, records))
    results.write_atomically(out, _zipped({MANIFEST: results.encoded(manifest), **contents}))
    return len(records)


def _records(folder: Path) -> list[Record]:
    """The records with a configuration. Raises InputError for none, and for one that is damaged or
    does not follow from it."""
    runs = sorted(results.kept(folder, "runs"))
    records = [results.read(folder, run) for run in runs]
    configured = [record for record in records if record.config]
    for record in configured:
        check_record(record)
    if not configured:
        raise InputError(f"{folder} must hold runs of a study; it has none: run a study first")
    if num := len(records) - len(configured):
        warnings.warn(
            f"left out: {num} models from elsewhere, which have no configuration to compare by",
            InputWarning,
            stacklevel=3,
        )
    return configured


def _contents(
    folder: Path, records: Sequence[Record], weights: bool
) -> Iterator[tuple[str, bytes]]:
    """The members that are files of a results folder."""
    for record in records:
        for part, suffix in PARTS.items():
            path = results.file_of(folder, part, record.run)
            if path.is_file() and (weights or part != "weights"):
                yield f"{part}/{record.run}{suffix}", path.read_bytes()
    if results.timings(folder):
        yield TIMINGS, (folder / TIMINGS).read_bytes()


def _check_complete(study: Path, records: Sequence[Record]) -> None:
    """Raises InputError where a run of the study is not recorded: it might be left out for its
    figures."""
    recorded = {record.run for record in records}
    wanted = studies.expand(studies.read(study))
    if missing := [config for config in wanted if config.id not in recorded]:
        raise InputError(
            f"all runs of {study} must be recorded; {len(missing)} of {len(wanted)} are not, as "
            f"{missing[0].variant} seed {missing[0].seed}: run the study to its end"
        )


def _check_plugins(records: Sequence[Record], plugins: Sequence[str]) -> None:
    """Raises InputError where runs were made with other plugins than these."""
    for record in records:
        config = config_of(record) if record.config.get("plugin") else None
        if config is None:
            continue
        if not plugins:
            raise InputError(
                f"run {record.run} was made with plugins, which must be given by --plugin FILE.py"
            )
        if resolve([config])[0].id != record.run:
            raise InputError(
                f"the plugins must be those that run {record.run} was made with; they, or its "
                f"data, have changed since: run the study again"
            )


def _sources(plugins: Sequence[str]) -> Mapping[str, bytes]:
    """The texts of plugins, and of what they import of the user's, by their paths beside these."""
    sources: dict[str, bytes] = {}
    for plugin in plugins:
        home = Path(plugin).resolve().parent
        for file in files_of(plugin):
            if not file.is_relative_to(home) or not MEMBER.fullmatch(
                path := PLUGINS + file.relative_to(home).as_posix()
            ):
                raise InputError(
                    f"a plugin may import files beside it alone, of plain names, for a bundle; "
                    f"{plugin} imports {file}: move it there"
                )
            inside, text = path.removeprefix(PLUGINS), file.read_bytes()
            if sources.setdefault(inside, text) != text:
                raise InputError(f"plugins must have names of their own; two are {inside}")
    return sources


def _check_size(contents: Mapping[str, bytes]) -> None:
    if (num := sum(map(len, contents.values()))) > MOST_BYTES:
        raise InputError(
            f"a bundle must hold at most {MOST_BYTES >> 20} MiB; this has {num >> 20}: give "
            f"--no-weights, or fewer runs"
        )


def _zipped(contents: Mapping[str, bytes]) -> bytes:
    """A zip file without dates, owners or an order of its own."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bundle:
        for name in sorted(contents):
            info = zipfile.ZipInfo(name, UNDATED)
            info.create_system, info.external_attr = 3, 0o644 << 16
            packed = name.endswith(PACKED)
            info.compress_type = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
            bundle.writestr(info, contents[name])
    return buffer.getvalue()
