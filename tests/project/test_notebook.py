"""The notebook runs from its first cell to its last, and was saved with what its cells show."""

import pytest

from docs.site.notebooks import cells, page
from tests.support import ROOT

NOTEBOOK = ROOT / "docs" / "first-results.ipynb"
CODE = ["".join(cell["source"]) for cell in cells(NOTEBOOK) if cell["cell_type"] == "code"]


@pytest.mark.slow
def test_it_runs(tmp_path, monkeypatch):
    """With a hundredth of its steps."""
    pyplot = pytest.importorskip("matplotlib.pyplot")
    monkeypatch.setattr(pyplot, "show", lambda: None)
    monkeypatch.chdir(tmp_path)
    names = {}
    for code in CODE:
        exec(code.replace("STEPS = 1500", "STEPS = 15"), names)
    assert names["STEPS"] == 15
    assert set(names["by_seed"].columns) == {"elbo", "beta_elbo", "iwae"}
    assert set(names["rows"]["likelihood"]) == {"poisson", "negative_binomial"}
    pyplot.close("all")


def test_it_was_saved_with_outputs():
    shown = page(NOTEBOOK)
    assert shown.count("```python") == len(CODE)
    assert "data:image/png;base64," in shown
    assert shown.count('<div class="output">') == 3
