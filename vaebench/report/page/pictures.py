"""Images of the runs, as data in the page: of each variant those of one run."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from vaebench.report.page.provenance import Member

MOST_BYTES = 1_500_000
"""Bytes of all images of a page; the best variants come first."""

Read = Callable[[str], bytes | None]
"""The image file of a run; None where there is none."""


@dataclass(frozen=True)
class Picture:
    """The samples of a run of a variant."""

    variant: int
    seed: int
    source: str
    """The image as a data URL."""


@dataclass(frozen=True)
class Album:
    """The pictures of a page, and the variants without one."""

    pictures: Sequence[Picture]
    missing: Sequence[int]
    """Variants of whose runs no images are kept."""
    left_out: Sequence[int]
    """Variants for whose images there was no room."""


def pictures(members: Mapping[int, Sequence[Member]], order: Sequence[int], read: Read) -> Album:
    """The samples of the first run of each variant that has some, in this order of variants, as
    long as there is room."""
    taken: list[Picture] = []
    missing, left_out, room = [], [], MOST_BYTES
    for variant in order:
        first = next(_drawn(members.get(variant, ()), read), None)
        if first is None:
            missing.append(variant)
            continue
        member, content = first
        if len(content) > room:
            left_out.append(variant)
            continue
        room -= len(content)
        source = f"data:image/png;base64,{base64.b64encode(content).decode()}"
        taken.append(Picture(variant, member.seed, source))
    return Album(taken, missing, left_out)


def _drawn(members: Sequence[Member], read: Read) -> Iterator[tuple[Member, bytes]]:
    """The runs that have images, with these."""
    return ((one, content) for one in members if (content := read(one.run)))
