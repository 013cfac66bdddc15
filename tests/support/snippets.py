"""What pages of the documentation tell a reader to type: commands, blocks of TOML and of Python."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from tests.support import ROOT

FOLDERS = (ROOT / "docs", ROOT / "results")
PAGES = [
    *(ROOT / "README.md", ROOT / "CONTRIBUTING.md"),
    *(page for folder in FOLDERS for page in sorted(folder.rglob("*.md"))),
]
BLOCK = re.compile(r"(?:<!-- not run: (.+?) -->\n+)?^( *)```(\w*)\n(.*?)^ *```$", re.M | re.S)
INDENTED = re.compile(r"^    (?=(?:vaebench|nox|python|pip|ray) )((?:.*\\\n)*.*)", re.M)
INLINE = re.compile(r"(?<!`)`((?:vaebench|nox -s|python -m|python [\w/]+\.py)(?: [^`]*)?)`(?!`)")
SHELLS = ("bash", "sh", "console", "")


@dataclass(frozen=True)
class Block:
    """A block of a page, with the reason why it is not run, "" for none."""

    page: Path
    language: str
    text: str
    not_run: str = ""

    def __str__(self) -> str:
        first = next(iter(self.text.split()), "")
        return f"{self.page.relative_to(ROOT)}:{first}"


def blocks(page: Path, *languages: str) -> list[Block]:
    """The fenced blocks of a page in these languages."""
    return [
        Block(page, language, re.sub(f"^{indent}", "", text, flags=re.M), reason or "")
        for reason, indent, language, text in BLOCK.findall(page.read_text())
        if language in languages
    ]


def commands(page: Path) -> list[list[str]]:
    """The commands of a page's shell blocks and indented lines, as words; `a && b` is two."""
    shells = [_typed(block) for block in blocks(page, *SHELLS)]
    indented = INDENTED.findall(BLOCK.sub("", page.read_text()))
    return [words for text in [*shells, *indented] for words in _words(text)]


def inline_commands(page: Path) -> list[list[str]]:
    """The commands that stand in sentences; what is optional is in them."""
    texts = INLINE.findall(BLOCK.sub("", page.read_text()))
    return [words for text in texts for words in _words(" ".join(text.split()))]


def transcripts(page: Path) -> list[tuple[list[str], str]]:
    """The console blocks of one command with what it prints: its words, and the output."""
    parts = (block.text.partition("\n") for block in blocks(page, "console"))
    return [
        (*_words(first.removeprefix("$ ")), output)
        for first, _, output in parts
        if output.strip() and "$ " not in output
    ]


def _typed(block: Block) -> str:
    if block.language != "console":
        return block.text
    return "\n".join(re.findall(r"^\$ (.*)$", block.text, re.M))


def _words(text: str) -> list[list[str]]:
    lines = text.replace("\\\n", " ").replace("[", " ").replace("]", " ").splitlines()
    every = [shlex.split(line, comments=True) for line in lines]
    return [part for words in every for part in _split(words)]


def _split(words: list[str]) -> list[list[str]]:
    if "&&" not in words:
        return [words] if words else []
    at = words.index("&&")
    return [words[:at], *_split(words[at + 1 :])]
