"""What a bundle says of itself: its name, what its records are of, and a hash of each member."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from vaebench.core.errors import InputError
from vaebench.results import Record

FORMAT = 1
"""The format of the bundles that this version writes, and the only one that it reads."""
MANIFEST, STUDY, TIMINGS, PLUGINS = "manifest.json", "study.toml", "timings.json", "plugins/"
PARTS = {"runs": ".json", "weights": ".pt", "examples": ".npz"}
"""The parts of a results folder that a bundle holds, with the ends of their files' names."""
WORD = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}"
"""A name of a file or folder; none begins with a dot."""
MEMBER = re.compile(
    r"runs/[0-9a-f]{16}\.json|weights/[0-9a-f]{16}\.pt|examples/[0-9a-f]{16}\.npz"
    rf"|{re.escape(STUDY)}|{re.escape(TIMINGS)}|{PLUGINS}({WORD}/){{0,9}}{WORD}\.py"
)
"""What a member may be called: no path that leaves the folder it is unpacked to."""
MOST_BYTES, MOST_MEMBERS, LONGEST_NAME = 2 << 30, 100_000, 60


class Member(Struct, frozen=True, forbid_unknown_fields=True):
    """The size of a member in bytes, and its SHA-256."""

    size: int
    sha256: str


class Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a bundle says of itself; all but name and plugins follows from its members."""

    format: int
    name: str
    """What the league calls the submission."""
    studies: Sequence[str]
    environments: Sequence[Mapping[str, str]]
    data: Mapping[str, Sequence[str]]
    """The fingerprints of each data set."""
    plugins: Sequence[str] = ()
    """The members that are plugins; others under `plugins/` are what these import."""
    members: Mapping[str, Member]


def manifest_of(
    name: str, records: Sequence[Record], members: Mapping[str, Member], plugins: Sequence[str]
) -> Manifest:
    """The manifest of a submission with these records, which have been checked.

    Raises InputError for a name that a table cannot show.
    """
    if not (name.isprintable() and name == name.strip() and 0 < len(name) <= LONGEST_NAME):
        raise InputError(
            f"a submission's name must be 1 to {LONGEST_NAME} printable characters; got "
            f"{name!r:.80}: choose one by --name"
        )
    data: dict[str, set[str]] = {}
    for record in records:
        fingerprint = record.config["data"]["fingerprint"]
        data.setdefault(record.labels.dataset, set()).add(fingerprint)
    environments = {tuple(sorted(record.environment.items())) for record in records}
    return Manifest(
        format=FORMAT,
        name=name,
        studies=sorted({record.study for record in records}),
        environments=[dict(one) for one in sorted(environments)],
        data={label: sorted(data[label]) for label in sorted(data)},
        plugins=plugins,
        members={path: members[path] for path in sorted(members)},
    )


def member(content: bytes) -> Member:
    """What a manifest says of a member of this content."""
    return Member(len(content), hashlib.sha256(content).hexdigest())


def runs_in(members: Iterable[str], part: str) -> list[str]:
    """The ids of the runs of which there is such a part."""
    head = f"{part}/"
    return sorted(
        name.removeprefix(head).removesuffix(PARTS[part])
        for name in members
        if name.startswith(head)
    )
