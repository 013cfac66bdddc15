"""What another process draws and counts is what this one does."""

import pytest

from tests.report.test_tables import RECORDS
from vaebench import report, results
from vaebench.report import write_report

pytestmark = pytest.mark.slow


def files_of(folder, out):
    _, paths = write_report(folder, folder / out, formats=["csv", "svg"])
    return {path.name: path.read_bytes() for path in paths}


def test_two_processes_write_the_same_report(tmp_path, monkeypatch):
    results.prepare(tmp_path)
    for one in RECORDS:
        results.write(tmp_path, one)
    alone = files_of(tmp_path, "alone")
    for module in (report, report.evidence, results.points):
        monkeypatch.setattr(module, "worthwhile", lambda num: True)
    together = files_of(tmp_path, "together")
    assert {"aggregate.csv", "comparison.svg", "curves.svg"} <= alone.keys()
    tables = [name for name in alone if name.endswith("csv")]
    assert [together[name] for name in tables] == [alone[name] for name in tables]
    assert {n: len(c) for n, c in together.items()} == {n: len(c) for n, c in alone.items()}
