"""The Triton kernels' results, under Triton's interpreter: each `gpu/interpreted_*.py` in one
process.

TRITON_INTERPRET=1 must be set before the kernels are imported, and then they cannot be compiled.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT

pytest.importorskip("triton", reason="the kernels need triton, which is not installed")

HERE = Path(__file__).parent / "gpu"
GPU = ROOT / "vaebench" / "ops" / "gpu"
FILES = sorted(path.name for path in HERE.glob("interpreted_*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_results_under_the_interpreter(name: str) -> None:
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    environment.pop("PYTEST_ADDOPTS", None)
    command = [sys.executable, "-m", "pytest", "-v", "-o", "addopts=", "-p", "no:cacheprovider"]
    run = subprocess.run(
        [*command, HERE / name],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    if run.returncode != 0 or "passed" not in run.stdout:
        pytest.fail(f"{name} failed:\n{run.stdout}\n{run.stderr}", pytrace=False)


def test_every_file_of_kernels_has_its_tests() -> None:
    """The kernels of an operation, by its name; what they share is tested through them."""
    operations = {path.stem.removesuffix("_kernels") for path in GPU.glob("*_kernels.py")}
    assert operations == {"importance", "latent", "likelihood", "words"}
    assert {f"interpreted_{name}.py" for name in operations} <= set(FILES)


def test_a_file_holds_kernels_where_its_name_says_so() -> None:
    holding = {path.stem for path in GPU.glob("*.py") if "@triton.jit" in path.read_text()}
    kernels = {path.stem for path in GPU.glob("*_kernels.py")}
    assert holding == kernels | {"device", "pixel_laws"}
