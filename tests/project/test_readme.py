"""The README is true: its table is the committed one in brief, and what it tells to write works."""

import re

from benchmarks.update_readme import REFERENCE, brief_table, with_table
from tests.support import ROOT
from vaebench.config.study import expand, read

README = (ROOT / "README.md").read_text()


def block(language: str, containing: str) -> str:
    computed = re.findall(rf"```{language}\n(.*?)```", README, flags=re.S)
    return next(text for text in computed if containing in text)


def test_the_table_is_the_committed_one_in_brief():
    brief = brief_table(ROOT / REFERENCE)
    assert with_table(README, brief) == README
    wide = (ROOT / REFERENCE / "table.md").read_text()
    lines = [line for line in brief.splitlines() if line.startswith("|")]
    assert all(line.count("|") == 1 + 7 for line in lines)
    cells = {cell.strip() for line in lines for cell in line.split("|") if "---" not in cell}
    assert all(cell in wide for cell in cells)


def test_every_link_leads_to_a_file():
    links = re.findall(r"\]\((.*?)\)", README)
    assert any(link.endswith(".png") for link in links)
    assert [link for link in links if not (ROOT / link).is_file()] == []


def test_the_study_can_be_run(tmp_path, tiny_npz):
    path = tmp_path / "mine.toml"
    path.write_text(block("toml", "mine"))
    sized = [f"base.data.name={tiny_npz}", "base.train.batch_size=8"]
    assert len(expand(read(path, sized))) == 20
