"""Folders of several machines as one: nothing lost, nothing twice, nothing that differs."""

import re

import msgspec
import pytest

from tests.results.test_reading import TIMING, record
from tests.support.runs import tiny
from vaebench import results
from vaebench.config.resolve import resolve
from vaebench.config.run_config import PROTOCOL
from vaebench.core.errors import InputError, InputWarning
from vaebench.results import Training, merge
from vaebench.running.recording import protocol_of

A, B, C = (letter * 16 for letter in "abc")


def a_record(run, seed=0, nll=20.0, data="d" * 16, protocol=2, way="f1", **more):
    """A record with a way of making for each thing that must be alike."""
    plain = record(run, seed)
    metrics = [msgspec.structs.replace(plain.metrics[0], value=nll, fingerprint=way)]
    return msgspec.structs.replace(
        plain,
        metrics=metrics,
        protocol=protocol,
        training=Training(2, 2, 2),
        config={"data": {"fingerprint": data}},
        **more,
    )


def folder(path, *records):
    results.prepare(path)
    for one in records:
        results.write(path, one)
        results.write_part(path, "weights", one.run, one.run.encode())
    return path


def contents(path):
    return {r.run: r for r in results.records(path)}


def test_runs_of_all_folders_are_there_once_with_their_files(tmp_path):
    a = folder(tmp_path / "a", a_record(A), a_record(B, 1))
    b = folder(tmp_path / "b", a_record(B, 1, environment={"device": "other"}), a_record(C, 2))
    merged = merge([a, b], tmp_path / "out")
    assert (merged.num_runs, merged.num_twice) == (3, 1)
    assert contents(tmp_path / "out") == {**contents(b), **contents(a)}
    for run in (A, B, C):
        path = results.file_of(tmp_path / "out", "weights", run)
        assert path.read_bytes() == run.encode()
    again = merge([a, b], tmp_path / "out")
    assert (again.num_runs, again.num_twice) == (3, 4), "as after an interruption"


def test_a_folder_without_results_is_refused_in_a_line(tmp_path):
    a = folder(tmp_path / "a", a_record(A))
    with pytest.raises(InputError, match=r"b must hold results \(runs/\*.json\); it has none: "):
        merge([a, folder(tmp_path / "b")], tmp_path / "out")
    assert not (tmp_path / "out").exists()


UNLIKE = {
    "data": (a_record(B, 1, data="e" * 16), "the data of 'digits' is dddddddddddddddd in "),
    "protocol": (a_record(B, 1, protocol=3), "the protocol of training is 2 in "),
    "of before": (a_record(B, 1, protocol=0), "an earlier one, which is not named in "),
    "gradings": (a_record(B, 1, way="f2"), "nll in digits/dynamic/mass/K=5/0 is f1 in "),
}


@pytest.mark.parametrize("thing", UNLIKE)
def test_folders_that_were_made_in_different_ways_are_refused_by_name(tmp_path, thing):
    other, problem = UNLIKE[thing]
    a, b = folder(tmp_path / "a", a_record(A)), folder(tmp_path / "b", other)
    with pytest.raises(InputError) as refusal:
        merge([a, b], tmp_path / "out")
    assert problem in str(refusal.value)
    assert f"{a}/runs/{A}.json" in str(refusal.value)
    assert f"{b}/runs/{B}.json" in str(refusal.value)
    assert not (tmp_path / "out").exists()


def test_a_record_that_names_no_protocol_has_this_one_where_its_id_says_so(tmp_path, tiny_npz):
    """Records without a protocol, like those that were made before records named it."""
    first, second = resolve([tiny(tiny_npz, seed=seed) for seed in (0, 1)])

    def recorded(config, protocol):
        plain = a_record(config.id, config.seed, data="", protocol=protocol)
        return msgspec.structs.replace(plain, config=msgspec.to_builtins(config))

    a, b = tmp_path / "a", tmp_path / "b"
    folder(a, recorded(first, 0))
    folder(b, recorded(second, PROTOCOL))
    with pytest.raises(InputError, match="an earlier one, which is not named in"):
        merge([a, b], tmp_path / "out")
    assert merge([a, b], tmp_path / "out", protocol_of).num_runs == 2


def test_two_records_of_one_run_are_refused_by_name(tmp_path):
    a, b = folder(tmp_path / "a", a_record(A)), folder(tmp_path / "b", a_record(A, nll=20.5))
    said = f"{a}/runs/{A}.json and {b}/runs/{A}.json differ in metrics: choose one of them"
    with pytest.raises(InputError, match=re.escape(said)):
        merge([a, b], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("order", [1, -1])
def test_what_one_machine_failed_at_and_another_did_is_done(tmp_path, order):
    lost = a_record(A, status="failed", reason="no memory")
    folders = [folder(tmp_path / "a", lost), folder(tmp_path / "b", a_record(A))]
    merge(folders[::order], tmp_path / "out")
    assert contents(tmp_path / "out")[A].status == "done"


def test_timings_of_several_passes_are_left_out_and_said(tmp_path):
    folders = [folder(tmp_path / name, a_record(run)) for name, run in (("a", A), ("b", B))]
    timing = msgspec.structs.replace(record(A, 0), run=f"timing-{A}", config=TIMING["config"])
    results.write_timings(folders[0], [timing])
    merge(folders, tmp_path / "one")
    assert results.timings(tmp_path / "one") == [timing]
    results.write_timings(folders[1], [msgspec.structs.replace(timing, study="other")])
    with pytest.warns(InputWarning, match="timings are left out: those of 2 folders were not made"):
        merge(folders, tmp_path / "two")
    assert not results.timings(tmp_path / "two")


def test_a_folder_is_not_merged_with_itself(tmp_path):
    a = folder(tmp_path / "a", a_record(A))
    for sources, out in (([a, a], tmp_path / "out"), ([a], a)):
        with pytest.raises(InputError, match="must be different folders; two are one"):
            merge(sources, out)


def test_a_damaged_record_is_named_and_left_behind(tmp_path):
    a, b = folder(tmp_path / "a", a_record(A)), folder(tmp_path / "b", a_record(B, 1))
    (a / "runs" / f"{C}.json").write_text("{")
    with pytest.warns(InputWarning, match=f"left out: .*{C}.json"):
        assert merge([a, b], tmp_path / "out").num_runs == 2
