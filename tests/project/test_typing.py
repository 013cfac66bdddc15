"""A type checker knows the public names and the facts that the decorators take."""

import ast
import importlib.util
import subprocess
import sys

import pytest

import vaebench as vb
from tests.project.test_readme import block
from tests.support import ROOT

MISSPELT = """
import vaebench as vb

@vb.objective(source="", bound="lower", tigth=True)
def a(t: vb.Terms): ...

@vb.likelihood(source="", measure="masses", support=vb.REAL, mean=lambda out: out)
def b(x, out): ...

@vb.prior(source="", sampel=None)
def c(z): ...

@vb.posterior(source="", num_inputs=2)
def d(numbers, latent, network): ...

@vb.schedule(soruce="")
def e(progress): ...

@vb.model(refuses_width=None)
def f(sizes, widths, noises): ...

@vb.grading(source="", smal={})
def g(subject): ...

@vb.exhibit(source="", fit=None)
def h(subject): ...

vb.objectiv
"""
MESSAGES = {
    "a": 'Unexpected keyword argument "tigth" for "objective"',
    "b": 'Argument "measure" to "likelihood" has incompatible type "Literal[',
    "c": 'Unexpected keyword argument "sampel" for "prior"',
    "d": 'Argument "num_inputs" to "posterior" has incompatible type "int"',
    "e": 'Unexpected keyword argument "soruce" for "schedule"',
    "f": 'Unexpected keyword argument "refuses_width" for "model"',
    "g": 'Unexpected keyword argument "smal" for "grading"',
    "h": 'Unexpected keyword argument "fit" for "exhibit"',
    "vb.objectiv": 'Module has no attribute "objectiv"',
}


def test_a_type_checker_sees_each_public_name():
    tree = ast.parse((ROOT / "vaebench/__init__.py").read_text())
    imported = {alias.asname for n in ast.walk(tree) for alias in getattr(n, "names", ())}
    assert {name for name in imported if name} == {*vb.__all__}


@pytest.fixture(scope="module")
def said(request, tmp_path_factory):
    """What mypy says of the README's plugin, and of a file with misspelt facts."""
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed: it is in the groups `test` and `lint`")
    folder = tmp_path_factory.mktemp("typed")
    (folder / "mine.py").write_text(block("python", "@vb.objective"))
    (folder / "misspelt.py").write_text(MISSPELT)
    cache = request.config.cache.mkdir("mypy")
    options = ["--config-file=", "--ignore-missing-imports", "--follow-imports=silent"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, f"--cache-dir={cache}", "mine.py", "misspelt.py"],
        cwd=folder,
        env={"MYPYPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
    )
    return done.stdout


@pytest.mark.slow
def test_the_readmes_plugin_has_no_errors(said):
    assert "misspelt.py" in said
    assert "mine.py" not in said


@pytest.mark.slow
@pytest.mark.parametrize("name", MESSAGES)
def test_a_misspelt_fact_is_an_error(said, name):
    assert MESSAGES[name] in said
