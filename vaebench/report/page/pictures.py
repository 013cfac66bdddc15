"""What there is to see of the runs, as data in the page: of each variant one run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from vaebench.report.page.provenance import Member
from vaebench.report.page.sheets import Part, image_url, key, parts
from vaebench.results import Exhibit

MOST_BYTES = 1_500_000
"""Bytes of all pictures of a page; the best variants come first."""

Samples = Callable[[str], bytes | None]
"""The image file of a run; None where there is none."""
Exhibits = Callable[[str], Sequence[Exhibit]]
"""The exhibits of a run."""
SAMPLES = "samples"
OF_SAMPLES = (
    "Drawn from the prior through the decoder: means of p(x|z). What a model gives on its own, "
    "unlike its reconstructions."
)
AT_ONCE = 6
"""Variants whose pictures are seen at once; others are shown on demand."""
FIRST = ("reconstructions", "neighbours", SAMPLES)
"""What comes first; others follow by name."""


@dataclass(frozen=True)
class Picture:
    """What is seen of one variant in a gallery."""

    variant: int
    seed: int
    parts: Sequence[Part]


@dataclass(frozen=True)
class Gallery:
    """One exhibit of all variants of an observation space, best first."""

    space: str
    name: str
    caption: str
    pictures: Sequence[Picture]
    shared: Sequence[Part] = ()
    """What is the same for all variants."""

    @property
    def layout(self) -> str:
        """How its pictures lie: "strips" one below another, "panels" or "sheets" side by side."""
        first = self.pictures[0].parts[0]
        if first.svg:
            return "panels"
        return "strips" if first.label else "sheets"

    @property
    def title(self) -> str:
        """Its name, for people."""
        return self.name.replace("_", " ").capitalize()


@dataclass(frozen=True)
class Album:
    """The galleries of a page, and the variants that are in none."""

    galleries: Sequence[Gallery]
    missing: Sequence[int]
    """Variants of whose runs nothing is kept to look at."""
    left_out: Sequence[int]
    """Variants for which there was no room."""


Shown = list[tuple[str, str, Picture]]
"""Name, caption and picture of each exhibit of a variant."""


def album(
    members: Mapping[int, Sequence[Member]],
    spaces: Mapping[int, str],
    samples: Samples,
    exhibits: Exhibits,
) -> Album:
    """What is to be seen of the variants, as long as there is room; `spaces`: their observation
    spaces by their places on the page, the best first."""
    taken: dict[tuple[str, str], list[tuple[str, Picture]]] = {}
    missing: list[int] = []
    left_out: list[int] = []
    room = MOST_BYTES
    for variant, space in spaces.items():
        if left_out:
            left_out.append(variant)
            continue
        shown = _shown(variant, members.get(variant, ()), samples, exhibits)
        size = sum(part.size for _, _, picture in shown for part in picture.parts)
        if not shown:
            missing.append(variant)
        elif size > room:
            left_out.append(variant)
        else:
            room -= size
            for name, caption, picture in shown:
                taken.setdefault((space, name), []).append((caption, picture))
    galleries = [
        _shared(Gallery(space, name, pictures[0][0], [picture for _, picture in pictures]))
        for (space, name), pictures in sorted(taken.items(), key=lambda item: _order(*item[0]))
    ]
    return Album(galleries, missing, left_out)


def _order(space: str, name: str) -> tuple[str, int, str]:
    return space, FIRST.index(name) if name in FIRST else len(FIRST), name


def _shown(variant: int, members: Sequence[Member], samples: Samples, exhibits: Exhibits) -> Shown:
    """What is kept of the run of the middle NLL of a variant; of the next, where it has nothing."""
    for member in typical_first(members):
        shown = list(_of_run(variant, member, samples, exhibits))
        if shown:
            return shown
    return []


def _of_run(
    variant: int, member: Member, samples: Samples, exhibits: Exhibits
) -> Iterator[tuple[str, str, Picture]]:
    if content := samples(member.run):
        sheet = [Part("", image_url(content))]
        yield SAMPLES, OF_SAMPLES, Picture(variant, member.seed, sheet)
    for one in exhibits(member.run):
        caption = f"{one.about.caption}{key(one)}"
        yield one.about.name, caption, Picture(variant, member.seed, parts(one))


def typical_first(members: Sequence[Member]) -> list[Member]:
    """The runs from the one of the middle NLL outwards; those without an NLL last."""
    ranked = sorted((one for one in members if one.score == one.score), key=lambda one: one.score)
    middle = (len(ranked) - 1) // 2
    outwards = sorted(enumerate(ranked), key=lambda placed: abs(placed[0] - middle))
    return [one for _, one in outwards] + [one for one in members if one.score != one.score]


def _shared(gallery: Gallery) -> Gallery:
    """The gallery with the parts that are the same for all its variants once, as the examples that
    are reconstructed."""
    first, *others = [picture.parts for picture in gallery.pictures]
    same = [part for part in first if others and all(part in each for each in others)]
    if len(same) == len(first):
        return gallery
    rest = [
        replace(picture, parts=[part for part in picture.parts if part not in same])
        for picture in gallery.pictures
    ]
    return replace(gallery, pictures=rest, shared=same)
