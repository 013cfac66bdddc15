"""The index of a large folder: whatever happens to it or to the files, records are those of files.

Its threshold is lowered here, and files count as settled at once.
"""

import json
import os
import sqlite3
import threading

import msgspec
import pytest

from tests.results.test_reading import record
from vaebench import results
from vaebench.core.errors import InputWarning
from vaebench.results import index
from vaebench.results.folder import encoded

NUM = 12


def run_id(number):
    return f"{number:016x}"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(index, "FEWEST", 2)
    monkeypatch.setattr(index, "SETTLED_NS", 0)
    results.prepare(tmp_path)
    for number in range(NUM):
        results.write(tmp_path, record(run_id(number), number))
    return tmp_path


def path_of(folder, number):
    return results.file_of(folder, "runs", run_id(number))


def by_files(folder):
    """What the files say, read one by one."""
    paths = sorted((folder / "runs").glob("*.json"))
    return [msgspec.json.decode(path.read_bytes(), type=results.Record) for path in paths]


def files_read(folder, monkeypatch, curves=True):
    """Which files are read for the records, beside the index."""
    seen = []
    read = index.read_record
    with monkeypatch.context() as patch:
        patch.setattr(index, "read_record", lambda path: seen.append(path.stem) or read(path))
        records = list(results.records(folder, curves=curves))
    return seen, records


def with_nll(folder, number, value):
    (figure,) = record(run_id(number), number).metrics
    figures = [msgspec.structs.replace(figure, value=value)]
    return msgspec.structs.replace(record(run_id(number), number), metrics=figures)


def test_a_second_reading_reads_no_file_and_says_the_same(folder, monkeypatch):
    seen, first = files_read(folder, monkeypatch)
    assert sorted(seen) == [run_id(n) for n in range(NUM)] and first == by_files(folder)
    seen, second = files_read(folder, monkeypatch)
    assert not seen and second == first
    without = [msgspec.structs.replace(r, curves={}) for r in first]
    assert files_read(folder, monkeypatch, curves=False) == ([], without)


def test_files_that_are_edited_deleted_added_or_cut_short_are_seen(folder, monkeypatch):
    list(results.records(folder))
    path_of(folder, 1).unlink()
    edited = encoded(with_nll(folder, 2, 77.0))
    before = path_of(folder, 2).stat()
    path_of(folder, 2).write_bytes(edited)
    os.utime(path_of(folder, 2), ns=(before.st_atime_ns, before.st_mtime_ns))  # as `cp -p` does
    assert path_of(folder, 2).stat().st_size == before.st_size
    results.write(folder, record(run_id(NUM), NUM))
    content = path_of(folder, 3).read_bytes()
    path_of(folder, 3).write_bytes(content[:-9])
    with pytest.warns(InputWarning, match=rf"left out: .*{run_id(3)}.json must be a record"):
        seen, records = files_read(folder, monkeypatch)
    assert {r.run for r in records} == {run_id(n) for n in range(NUM + 1)} - {run_id(1), run_id(3)}
    assert records[1].metrics[0].value == 77.0
    assert set(seen) == {run_id(2), run_id(3), run_id(NUM)}
    path_of(folder, 3).write_bytes(content)
    assert list(results.records(folder)) == by_files(folder)


def test_a_file_that_is_another_of_the_same_size_and_dates_is_read_again(folder):
    """By its inode, as where a folder is put in the place of another."""
    list(results.records(folder))
    path, before = path_of(folder, 4), path_of(folder, 4).stat()
    other = folder / "other"
    other.write_bytes(encoded(with_nll(folder, 4, 55.0)))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)
    assert list(results.records(folder))[4].metrics[0].value == 55.0


def test_what_has_just_changed_is_not_indexed_yet(folder, monkeypatch):
    """A clock ticks every few milliseconds: two changes within one look alike."""
    monkeypatch.setattr(index, "SETTLED_NS", 2 * 10**9)
    for _ in range(2):
        seen, _ = files_read(folder, monkeypatch)
        assert len(seen) == NUM


def spoilt(path):
    content = bytearray(path.read_bytes())
    at = content.find(b"valid_elbo_nats")
    assert at > 0
    content[at : at + 5] = b"other"
    path.write_bytes(content)


DAMAGES = {
    "no database": lambda path: path.write_bytes(b"nonsense" * 1000),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:5000]),
    "empty": lambda path: path.write_bytes(b""),
    "gone": lambda path: path.unlink(),
    "another's value": spoilt,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_index_costs_time_and_no_figure(folder, damage, monkeypatch):
    records = list(results.records(folder))
    damage(folder / index.NAME)
    assert list(results.records(folder)) == records
    assert list(results.records(folder)) == records
    assert files_read(folder, monkeypatch) == ([], records), "and it is mended"


def test_an_index_of_another_version_is_made_anew(folder, monkeypatch):
    records = list(results.records(folder))
    monkeypatch.setattr(index, "VERSION", index.VERSION ^ 1)
    seen, again = files_read(folder, monkeypatch)
    assert len(seen) == NUM and again == records


def test_a_locked_index_is_not_waited_for_long(folder, monkeypatch):
    records = list(results.records(folder))
    monkeypatch.setattr(index, "PATIENCE_S", 0.0)
    holder = sqlite3.connect(folder / index.NAME)
    holder.execute("BEGIN EXCLUSIVE")
    assert list(results.records(folder)) == records
    holder.close()


def test_a_folder_that_cannot_be_written_is_read_by_its_files(folder, monkeypatch):
    def refuse(*args, **more):
        raise sqlite3.OperationalError("unable to open database file")

    monkeypatch.setattr(index.sqlite3, "connect", refuse)
    assert list(results.records(folder)) == by_files(folder)
    assert not (folder / index.NAME).exists()


def test_many_readers_and_a_writer_at_once_see_whole_records(folder):
    """The writer changes one record again and again; each reader sees one of its values."""
    failures = []

    def read():
        for _ in range(15):
            try:
                records = list(results.records(folder))
                values = [r.metrics[0].value for r in records]
                if len(records) != NUM or values[:5] != [20.0 + n for n in range(5)]:
                    failures.append(values)
                if not 1000 <= (values[5] if values[5] > 900 else 1000) < 1200:
                    failures.append(values)
            except Exception as error:
                failures.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for step in range(100):
        results.write(folder, with_nll(folder, 5, 1000.0 + step))
    for reader in readers:
        reader.join()
    assert not failures
    assert list(results.records(folder)) == by_files(folder)


def test_small_folders_have_no_index(folder, monkeypatch):
    monkeypatch.setattr(index, "FEWEST", 1000)
    assert len(list(results.records(folder))) == NUM
    assert not (folder / index.NAME).exists()


def test_rows_and_curves_are_the_same_with_and_without(folder, monkeypatch):
    list(results.records(folder))
    rows, curves = results.load(folder), results.curves(folder)
    monkeypatch.setattr(index, "FEWEST", 1000)
    assert results.load(folder).equals(rows) and results.curves(folder).equals(curves)


def test_a_record_of_before_says_how_it_was_trained_without_its_curve(folder):
    table = json.loads(path_of(folder, 0).read_text())
    del table["training"]
    path_of(folder, 0).write_text(json.dumps(table | {"config": {"train": {"num_steps": 2}}}))
    for _ in range(2):
        first = next(results.records(folder, curves=False))
        assert not first.curves and first.training == results.Training(2, 2, 2)
