"""Records: atomic, raw, read back as long rows."""

import errno
import os
from pathlib import Path

import pytest

from vaebench import results
from vaebench.core.errors import InputError, StorageError
from vaebench.results import Labels, Record, metric
from vaebench.results.files import HERE

LABELS = Labels(
    "digits", "bernoulli", "elbo", "{}", "elbo", 1, "digits/dynamic/mass/0", "train.num_steps=2", 3
)
RECORD = Record(
    run="0123456789abcdef",
    study="s",
    labels=LABELS,
    status="done",
    metrics=[metric("nll", 1 / 3, "test, K=5"), metric("elbo", -0.5)],
    curves={"step": [1.0, 2.0], "loss_nats": [3.0, None]},
)
LOST = "f" * 16
COLUMNS = [
    "run",
    "study",
    "dataset",
    "likelihood",
    "objective",
    "seed",
    "metric",
    "value",
    "unit",
    "higher_is_better",
]


@pytest.fixture
def out(tmp_path):
    results.prepare(tmp_path)
    return tmp_path


def test_rows_are_long_and_unrounded(out):
    results.write(out, RECORD)
    rows = results.load(out)
    assert set(COLUMNS) <= set(rows.columns)
    assert rows["metric"].to_list() == ["nll", "elbo"]
    assert rows["value"][0] == 1 / 3
    assert rows["higher_is_better"].to_list() == [False, True]
    assert rows["seed"].to_list() == [3, 3]


def test_a_lost_run_is_a_row_with_its_reason(out):
    results.write(
        out, Record(run=LOST, study="s", labels=LABELS, status="diverged", reason="step 7")
    )
    (row,) = results.load(out).to_dict("records")
    assert (row["status"], row["reason"], row["metric"]) == ("diverged", "step 7", "")
    assert results.recorded(out) == {LOST: "diverged"}


def test_curves_keep_what_was_not_finite_as_missing(out):
    results.write(out, RECORD)
    curves = results.curves(out)
    assert curves["loss_nats"].isna().to_list() == [False, True]
    assert curves["variant"].to_list() == ["elbo", "elbo"]


def test_a_write_that_fails_leaves_the_old_file_whole(out, monkeypatch):
    path = out / "file"
    results.write_atomically(path, b"old")

    def broken(descriptor):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(StorageError, match=f"must be writable; {out}: disk full"):
        results.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert not list(out.rglob("*.tmp"))


def test_orphans_of_an_interrupted_writer_are_cleared(out):
    orphan = out / "runs" / f"{HERE}half.tmp"
    orphan.write_text("{")  # no living writer has it locked
    results.prepare(out)
    assert not orphan.exists()


def test_an_empty_folder_is_said(tmp_path):
    with pytest.raises(InputError, match="run a study first"):
        results.load(tmp_path)


def test_a_read_only_folder_is_said(tmp_path, monkeypatch):
    """The refusal is the system's; the tests may run as root, who may write anywhere."""

    def denied(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", denied)
    with pytest.raises(InputError, match=r"must be writable; .*out: Permission denied"):
        results.prepare(tmp_path / "out")


def test_a_folder_that_is_a_file_is_said(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError, match="must be writable"):
        results.prepare(tmp_path / "out")
