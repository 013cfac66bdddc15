"""docs/out-and-in.md: its blocks do what the page says."""

import re

from tests.support import ROOT

PAGE = (ROOT / "docs" / "out-and-in.md").read_text()


def blocks(language, heading):
    """The blocks of a language in the section of a heading."""
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)[1]
    return re.findall(rf"^```{language}\n(.*?)^```", section, re.MULTILINE | re.DOTALL)


def test_the_loop_lowers_its_loss():
    (loop,) = blocks("python", "An objective in your own loop")
    names = {}
    exec(loop.replace("range(50)", "range(1)"), names)
    first = float(names["loss"].detach())
    exec(loop, names)
    assert float(names["loss"].detach()) < first - 1.0
