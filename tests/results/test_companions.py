"""What other commands left in a folder is read, and named where it cannot be."""

import pytest

from vaebench import results
from vaebench.core.errors import InputWarning


def test_rows_are_read_from_every_file_of_the_name(tmp_path):
    for name in ("kernels-cpu", "kernels-cuda"):
        results.write_rows(tmp_path, name, [{"op": name}])
    names = [row["op"] for row in results.rows_beside(tmp_path, results.KERNELS)]
    assert names == ["kernels-cpu", "kernels-cuda"]


def test_an_empty_folder_has_none(tmp_path):
    assert results.rows_beside(tmp_path, results.GRADIENTS) == []
    assert results.benchmarks(tmp_path) == [] and results.trials(tmp_path).empty


@pytest.mark.parametrize("content", ["", "{", '{"benchmarks": 3}', "[1]"])
def test_what_cannot_be_read_is_left_out_and_named(tmp_path, content):
    for name in ("gradients.json", "benchmarks.json"):
        (tmp_path / name).write_text(content)
    with pytest.warns(InputWarning, match="gradients.json cannot be read"):
        assert results.rows_beside(tmp_path, results.GRADIENTS) == []
    with pytest.warns(InputWarning, match="benchmarks.json cannot be read"):
        assert results.benchmarks(tmp_path) == []
    (tmp_path / "trials.csv").write_text("")
    with pytest.warns(InputWarning, match="trials.csv cannot be read"):
        assert results.trials(tmp_path).empty
