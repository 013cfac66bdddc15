"""The wheel and the source distribution hold what they must, and run outside the repository."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.support import ROOT

pytest.importorskip("hatchling", reason="packages are built by hatchling, which is not installed")
pytestmark = pytest.mark.slow

PACKAGE = ROOT / "vaebench"
SHIPPED = {".py", ".toml", ".c", ".h", ".hpp", ".typed", ".md", ".html", ".css", ".js"}
STUDY = """
name = "two_steps"
[base]
likelihood = "bernoulli"
objective = "elbo"
data = { name = "digits", binarisation = "threshold" }
model = { latent_dim = 2, widths = [4] }
train = { num_steps = 2 }
evaluate = { num_samples = 2, num_images = 4, gradings = ["likelihood"] }
"""
SCRIPT = """
import sys, vaebench as vb
rows = vb.run("study.toml", out="runs", workers=1, timings=False)
assert set(rows["status"]) == {"done"}, rows
print(vb.__file__)
"""


def build(project: Path, out: Path) -> tuple[Path, Path]:
    """The wheel and the source distribution of a project, by its own build settings."""
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(out)]
    subprocess.run(command, cwd=project, check=True, capture_output=True)
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return wheel, sdist


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return build(ROOT, tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="module")
def unpacked_sdist(packages: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sdist")
    with tarfile.open(packages[1]) as archive:
        archive.extractall(out, filter="data")
    (folder,) = out.iterdir()
    return folder


def test_the_wheel_holds_the_whole_package(packages):
    """With the pages that stand beside the code."""
    files = [p for p in PACKAGE.rglob("*") if p.suffix in SHIPPED]
    assert {".py", ".c", ".h", ".hpp"} <= {path.suffix for path in files}
    assert PACKAGE / "py.typed" in files
    expected = {path.relative_to(ROOT).as_posix() for path in files}
    information = {name for name in names(packages[0]) if ".dist-info/" in name}
    assert names(packages[0]) - information == expected
    assert any(name.endswith("/licenses/LICENSE") for name in information)


def test_the_source_distribution_builds_the_same_wheel(packages, unpacked_sdist, tmp_path):
    for name in ("LICENSE", "README.md", "CITATION.cff", "pyproject.toml", "noxfile.py", "tests"):
        assert (unpacked_sdist / name).exists(), name
    assert names(build(unpacked_sdist, tmp_path)[0]) == names(packages[0])


def test_the_wheel_runs_outside_the_repository(packages, tmp_path):
    package, work = tmp_path / "package", tmp_path / "work"
    work.mkdir()
    with zipfile.ZipFile(packages[0]) as archive:
        archive.extractall(package)
    (work / "study.toml").write_text(STUDY)
    environment = {**os.environ, "PYTHONPATH": str(package)}

    def output(*arguments: str) -> str:
        command = [sys.executable, *arguments]
        return subprocess.run(
            command, cwd=work, env=environment, check=True, capture_output=True, text=True
        ).stdout

    assert "iwae" in output("-m", "vaebench", "list")
    assert output("-c", SCRIPT).strip() == str(package / "vaebench" / "__init__.py")
