"""The constants of `--compile auto` are the committed figures; the fit finds a known line."""

import pandas as pd
import pytest

from benchmarks.compiling.__main__ import constants_of, fitted
from vaebench.running import choosing

REFERENCE = "results/reference/compiling"


def test_the_code_has_the_measured_constants():
    measured = constants_of(*(pd.read_csv(f"{REFERENCE}/{n}.csv") for n in ("savings", "costs")))
    used = {name: getattr(choosing, name) for name in measured}
    assert used == {name: float(f"{value:.2g}") for name, value in measured.items()}


def test_a_known_line_is_found():
    constants = {"SAVED_PER_STEP": 4e-4, "SAVED_PER_ELEMENT": 3e-10, "SAVED_PER_FLOP": 5e-12}
    table = pd.DataFrame(
        {
            "runs": [1, 10, 1, 10],
            "elements": [1e5, 1e6, 1e4, 2e6],
            "flops": [1e6, 1e8, 4e8, 2e7],
        }
    )
    work = 1 / table["runs"], table["elements"], table["flops"]
    saved = sum(c * w for c, w in zip(constants.values(), work, strict=True))
    named = fitted(table.assign(saved=1e3 * saved), "saved", "SAVED")
    assert named == pytest.approx(constants, rel=1e-6)
