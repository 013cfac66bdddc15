"""Tables: rows are examples, chosen columns their numbers, and the parts are divided by a seed."""

import sys

import numpy as np
import pandas as pd
import pytest
import torch

from vaebench.core.errors import InputError
from vaebench.data import load

RANDOM = np.random.default_rng(3)
TABLE = pd.DataFrame(
    {
        "length": RANDOM.normal(5, 1, 40),
        "width": RANDOM.normal(3, 1, 40),
        "count": RANDOM.poisson(4, 40),
        "kind": RANDOM.choice(["a", "b"], 40),
    }
)


@pytest.fixture(params=["csv", "parquet"])
def path(request, tmp_path):
    file = tmp_path / f"mine.{request.param}"
    if request.param == "csv":
        TABLE.to_csv(file, index=False)
    else:
        pytest.importorskip("pyarrow")
        TABLE.to_parquet(file)
    return str(file)


def test_chosen_columns_are_the_numbers_of_an_example(path):
    columns = ("width", "length")
    data = load(path, "none", values="real", columns=columns, test_fraction=0.25)
    assert [len(part) for part in (data.train, data.valid, data.test)] == [25, 5, 10]
    rows = torch.cat([data.train.x, data.valid.x, data.test.x])
    expected = torch.from_numpy(TABLE[list(columns)].to_numpy().copy()).float()
    torch.testing.assert_close(rows.sort(0).values, expected.sort(0).values)
    assert data.label == "mine"


def test_counts_of_a_table(path):
    data = load(path, "none", values="counts", columns=("count",), test_fraction=0.25)
    assert set(data.test.x.unique().tolist()) <= set(TABLE["count"].astype(float))


def test_text_is_one_line_that_says_what_to_leave_out(path):
    with pytest.raises(
        InputError, match=r"column 'kind' must be numbers; got '[ab]': leave it out"
    ):
        load(path, "none", values="real", test_fraction=0.25)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "a table has no test part: set data.test_fraction, as to 0.2"),
        ({"columns": ("widht",), "test_fraction": 0.2}, "no column 'widht'; did you mean 'width'"),
        ({"columns": ("count",), "test_fraction": 0.2}, "must be uint8, bool or float; got int64"),
    ],
)
def test_what_is_not_said_is_asked_for(path, settings, message):
    with pytest.raises(InputError, match=message):
        load(path, "none", **settings)


def test_gaps_and_ragged_rows_are_one_line(tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text("a,b\n1,2\n3,\n")
    with pytest.raises(InputError, match="column 'b' must have a number in each row; row 2 has no"):
        load(str(file), "none", values="real", test_fraction=0.25)
    file.write_text("a,b\n1,2\n3,4,5\n")
    with pytest.raises(
        InputError, match=r"must be a table with a row of names; reading it: .*line"
    ):
        load(str(file), "none", values="real", test_fraction=0.25)


def test_parquet_without_its_package_names_the_extra(tmp_path, monkeypatch):
    (tmp_path / "mine.parquet").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"Parquet needs pyarrow: install the extra, \.\[export\]"):
        load(str(tmp_path / "mine.parquet"), "none", test_fraction=0.25)
