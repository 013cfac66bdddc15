"""The reference studies have what their pages say of them."""

import tomllib

from tests.support import ROOT
from vaebench.core.user_code import is_users
from vaebench.objectives import OBJECTIVES


def study(name):
    return tomllib.loads((ROOT / "benchmarks" / "studies" / f"{name}.toml").read_text())


def names(variants):
    chosen = [variant["objective"] for variant in variants]
    return {each if isinstance(each, str) else each["name"] for each in chosen}


def test_the_study_of_objectives_has_every_one_that_is_a_loss():
    axes = study("objectives")["axes"]
    suite = {name for name, entry in OBJECTIVES.items() if not is_users(entry.loss)}
    assert names(axes["variant"]) == suite - {"jackknife"}
    assert len(axes["seed"]) == 20
