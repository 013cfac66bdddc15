"""docs/own-data.md is true: its whole file runs, and the study of every kind of data can be run."""

import re
import subprocess
import sys

import pytest

from tests.support import ROOT
from vaebench.config.study import expand, read
from vaebench.core.plugins import load_plugins
from vaebench.data import lookup
from vaebench.data.values import KINDS
from vaebench.models import MODELS
from vaebench.models.likelihoods import LIKELIHOODS

PAGE = (ROOT / "docs" / "own-data.md").read_text()
STUDIES = ROOT / "benchmarks" / "studies"


@pytest.mark.slow
def test_the_whole_file_runs_and_shows_what_it_says(tmp_path):
    """A negative binomial fits what is drawn from one: a lower NLL, a dispersion nearer."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.S)
    (tmp_path / "mine.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "mine.py"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    lines = [line.split() for line in done.stdout.splitlines()]
    values = {
        name: tuple(map(float, rest)) for name, *rest in lines if len(rest) == 2 and "." in rest[0]
    }
    binomial, poisson = zip(*(values[name] for name in ("nll", "dispersion_gap")), strict=True)
    assert binomial[0] < poisson[0] - 2.0
    assert abs(binomial[1]) < 0.5 * abs(poisson[1])


def test_the_page_names_what_there_is():
    assert all(f"`{name}`" in PAGE for name in (*KINDS, *lookup.COMPUTED))
    for name, entry in LIKELIHOODS.items():
        if entry.log_mean:
            assert f"`{name}`" in PAGE


def test_the_study_has_every_kind_of_data_under_a_users_model():
    load_plugins([str(STUDIES / "own.py")])
    try:
        configs = expand(read(STUDIES / "own.toml"))
    finally:
        del MODELS._entries["residual"]
    kinds = {(config.model.name, config.likelihood.name) for config in configs}
    assert {model for model, _ in kinds} == {"mlp", "residual"}
    assert len(kinds) == 2 * 7
    assert any(config.data.library_size for config in configs)
