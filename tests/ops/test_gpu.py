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


def test_every_kernel_has_its_file() -> None:
    assert len(FILES) >= 3
