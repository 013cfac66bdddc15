"""One tiny trained study, as a folder and as the bundle that is made of it."""

import zipfile
from pathlib import Path

import pytest

from tests.support.runs import tiny
from vaebench.config.resolve import resolve
from vaebench.league import submit
from vaebench.running.harness import train_all


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder of two variants and two seeds on the digits."""
    folder = tmp_path_factory.mktemp("league") / "mine"
    graded = {"num_samples": 5, "gradings": ["likelihood"]}
    configs = [
        tiny(objective=objective, seed=seed, evaluate=graded)
        for objective in ("elbo", "elbo_mc")
        for seed in range(2)
    ]
    train_all(resolve(configs), folder, "s", executor="inline")
    return folder


@pytest.fixture(scope="session")
def bundle(trained: Path) -> Path:
    """Its bundle."""
    path = trained.with_name("mine.zip")
    submit(trained, path)
    return path


@pytest.fixture(scope="session")
def contents(bundle: Path) -> dict[str, bytes]:
    """The members of the bundle."""
    with zipfile.ZipFile(bundle) as opened:
        return {name: opened.read(name) for name in opened.namelist()}
