"""What pages link to beyond docs/ stands in the site too, under repository/.

A page of docs/ links to files as they lie in the repository, so that its links work there too.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)")
"""The target of a Markdown link that leads to a file, without its anchor."""
OUTSIDE = "repository/"


def origin(uri: str) -> str:
    """Where a file of the site lies in the repository."""
    return uri.removeprefix(OUTSIDE) if uri.startswith(OUTSIDE) else f"docs/{uri}"


def uri(path: str) -> str:
    """Where a file of the repository stands in the site."""
    return path.removeprefix("docs/") if path.startswith("docs/") else OUTSIDE + path


def target(link: str, page: str) -> str:
    """The file of the repository that a link of a page leads to; for a folder its README."""
    path = os.path.normpath(PurePosixPath(origin(page)).parent / link)
    return f"{path}/README.md" if Path(path).is_dir() else path


def within_site(text: str, page: str) -> str:
    """The text of a page, its links as they are in the site."""

    def relative(match: re.Match[str]) -> str:
        return os.path.relpath(uri(target(match[1], page)), PurePosixPath(page).parent)

    return LINK.sub(relative, text)


def linked(pages: dict[str, str]) -> Iterator[str]:
    """The files outside of docs/ that pages, {where in the site: text}, lead to in turn."""
    seen: set[str] = set()
    waiting = [*pages.items()]
    while waiting:
        page, text = waiting.pop()
        for link in LINK.findall(text):
            path = target(link, page)
            if path.startswith("docs/") or path in seen or not Path(path).is_file():
                continue
            seen.add(path)
            yield path
            if path.endswith(".md"):
                waiting.append((uri(path), Path(path).read_text()))
