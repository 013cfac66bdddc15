"""The pages are true: names that they give resolve, files are there, the picture is as drawn."""

import pkgutil
import re

import pytest

from docs.draw_rooms import PAGE, PICTURE, picture, rooms
from tests.project.test_architecture import LAYERS
from tests.support import ROOT

FOLDERS = (ROOT / "docs", ROOT / "results")
PAGES = [
    *(ROOT / "README.md", ROOT / "CONTRIBUTING.md"),
    *(page for folder in FOLDERS for page in sorted(folder.rglob("*.md"))),
]
DOTTED = re.compile(r"`(vaebench(?:\.\w+)+)(?:\(.*?\))?`")
FILES = re.compile(r"\b((?:vaebench|tests|benchmarks|docs)/(?:[\w*-]+/)*(?:[\w*-]+\.\w+)?)")

SOURCES = re.compile(r"`((?:[\w*-]+/)+[\w*-]+\.(?:py|c|h|toml))`")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_name_in_a_page_resolves(page):
    for name in DOTTED.findall(page.read_text()):
        assert pkgutil.resolve_name(name) is not None, name


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_in_a_page_is_there(page):
    text = page.read_text()
    named = FILES.findall(text) + SOURCES.findall(text)
    places = (ROOT, ROOT / "vaebench")
    assert [name for name in named if not any(any(p.glob(name)) for p in places)] == []


def test_the_page_tells_of_every_room_in_order():
    assert rooms(PAGE.read_text()) == LAYERS


def test_the_life_of_a_run_names_its_functions():
    life = PAGE.read_text().partition("## The life of a run")[2].partition("## Axes")[0]
    assert len(DOTTED.findall(life)) >= 20


def test_the_picture_is_that_of_the_sources():
    assert PICTURE.read_text() == picture(rooms(PAGE.read_text())), "run `nox -s docs`"
