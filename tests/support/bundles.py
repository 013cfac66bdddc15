"""Bundles as somebody else may have made them."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from vaebench.league.manifest import MANIFEST, Manifest, manifest_of, member
from vaebench.results import Record


def bundle_of(path: Path, members: Mapping[str, bytes], **says: Any) -> Path:
    """A bundle of members, with a manifest that is true but for what `says` it otherwise."""
    records = [
        msgspec.json.decode(content, type=Record)
        for name, content in sorted(members.items())
        if name.startswith("runs/")
    ]
    contents = {name: text for name, text in members.items() if name != MANIFEST}
    hashes = {name: member(text) for name, text in contents.items()}
    honest = manifest_of(says.pop("name", path.stem), list(filter(_has_data, records)), hashes, ())
    manifest = msgspec.structs.replace(honest, **says)
    return zipped(path, {MANIFEST: msgspec.json.encode(manifest), **contents})


def _has_data(record: Record) -> bool:
    data = record.config.get("data")
    return isinstance(data, dict) and "fingerprint" in data


def zipped(path: Path, members: Mapping[str, bytes]) -> Path:
    """A zip file of these members."""
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def manifest(contents: Mapping[str, bytes]) -> Manifest:
    """The manifest among the members of a bundle."""
    return msgspec.json.decode(contents[MANIFEST], type=Manifest)


def changed(content: bytes, **fields: Any) -> bytes:
    """A record as JSON, with other fields."""
    record = msgspec.json.decode(content, type=Record)
    return msgspec.json.encode(msgspec.structs.replace(record, **fields))
