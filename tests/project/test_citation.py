"""The citation and the licence are those of this version."""

import re
import tomllib

import vaebench
from tests.support import ROOT

FIELDS = dict(re.findall(r"^([a-z-]+): (.+)$", (ROOT / "CITATION.cff").read_text(), flags=re.M))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_citation_names_this_version():
    assert {"cff-version", "message", "title"} <= FIELDS.keys()
    assert FIELDS["version"] == vaebench.__version__
    assert FIELDS["license"] == PROJECT["license"]
    assert PROJECT["authors"][0]["name"] in (ROOT / "CITATION.cff").read_text()


def test_the_licence_is_the_one_that_is_named():
    (name,) = PROJECT["license-files"]
    assert "Apache License\n                           Version 2.0" in (ROOT / name).read_text()
