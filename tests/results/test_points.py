"""The records of a large folder are read by two processes: what they say is the same."""

import pandas as pd
import pytest

from tests.results.test_reading import record
from vaebench import results
from vaebench.core.beside import Beside
from vaebench.core.errors import InputWarning
from vaebench.results import points
from vaebench.results.columns import text_columns

NUM = 7


def odd(record):
    """What is seen of some records."""
    return record.labels.seed if record.labels.seed % 2 else None


@pytest.fixture
def folder(tmp_path):
    results.prepare(tmp_path)
    for number in range(NUM):
        results.write(tmp_path, record(f"{number:016x}", number))
    (tmp_path / "runs" / f"{NUM:016x}.json").write_text("no record")
    return tmp_path


def test_two_halves_are_the_whole(folder, monkeypatch):
    monkeypatch.setattr(points, "worthwhile", lambda num: True)
    with pytest.warns(InputWarning, match="left out"), Beside() as second:
        read = results.read_together(folder, ("step",), odd, second)
    assert second.process is not None
    assert read.seen == {f"{number:016x}": number for number in range(1, NUM, 2)}
    with pytest.warns(InputWarning):
        rows, curves = results.load(folder), results.curves(folder, ("step",))
    pd.testing.assert_frame_equal(read.rows.table(text_columns), rows)
    together = read.curves(("run",)).astype(str)
    assert together.equals(curves[[*together]].astype(str))


def test_rows_are_chosen_by_metric_and_by_run(folder):
    with pytest.warns(InputWarning), Beside() as second:
        rows = results.read_together(folder, (), odd, second).rows
    assert len(rows.table(chosen=rows.of_runs())) == NUM
    assert rows.table(chosen=rows.of_metrics(["nll"]))["metric"].unique().tolist() == ["nll"]
    assert rows.table(chosen=rows.of_metrics(["unknown"])).empty
    assert rows.table(columns=["value"]).columns.tolist() == ["run", "seed", "value"]


def test_no_records_are_a_table_without_rows():
    assert results.frame([]).empty
    assert "value" in results.frame([])


def test_what_follows_from_steps_needs_no_column_of_them(folder):
    with pytest.warns(InputWarning):
        every, costs = results.curves(folder), results.curves(folder, ("decoder_evaluations",))
    assert len(costs) and "step" in every and "step" not in costs
    assert costs["decoder_evaluations"].equals(every["decoder_evaluations"])
