"""A handful of what `nox -s faults` does, and that it would see what it looks for."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.faults import folders, processes
from benchmarks.faults.__main__ import is_well, kills_table
from benchmarks.faults.series import Figures, aims, series
from benchmarks.faults.surroundings import FULL, NAMESPACE, Bench
from benchmarks.faults.works import WORKS, reference
from tests.results.test_reading import record
from tests.support.kills import background
from vaebench import results

SMALL = ("--set", "axes.seed=[0]", "--set", "base.train.num_steps=100")
STUDY = replace(WORKS["study"], arguments=(*WORKS["study"].arguments, *SMALL))


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    """Where a study of four runs has run undisturbed."""
    path = tmp_path_factory.mktemp("references")
    reference(STUDY, path)
    return path


@pytest.mark.slow
def test_a_study_whose_processes_are_killed_loses_and_repeats_nothing(references, tmp_path):
    each = {aim.victim: aim for aim in aims(STUDY, references / "study")}
    in_turn = [each[victim] for victim in ("writer", "coordinator", "worker")]
    figures = series(STUDY, in_turn, references, tmp_path / "series", 0)
    assert figures.kills >= 1
    assert figures == Figures("study", "writer coordinator worker", figures.kills)


@pytest.mark.slow
def test_a_study_on_a_full_disk_ends_in_one_line_and_goes_on(references, tmp_path):
    if subprocess.run([*NAMESPACE, "mount -t tmpfs tmpfs /mnt"], capture_output=True).returncode:
        pytest.skip("needs user namespaces, to mount a small disk")
    bench = Bench(tmp_path / "bench", references)
    bench.begin(STUDY)
    at = folders.num_steps(references / "study") // 2
    ended = bench.on_a_disk(FULL, *STUDY.arguments, at=at, fill="out/filler")
    assert ended.refused("No space left on device"), ended
    assert not folders.temporary(bench.place)
    assert bench.give(*STUDY.arguments).went_on()
    assert bench.differing(STUDY) == []


def folder(path, *records):
    results.prepare(path / "out")
    (path / "tmp").mkdir()
    for one in records:
        results.write(path / "out", one)
    return path


def test_what_is_lost_repeated_or_left_is_seen(tmp_path):
    first, second = (letter * 16 for letter in "ab")
    place = folder(tmp_path / "place", record(first, 0), record(second, 1))
    out, other = place / "out", tmp_path / "other"
    shutil.copytree(out, other)
    before = folders.state(out)
    assert (before.losses(before), before.repeats([]), folders.differing(out, other)) == (0, 0, [])
    assert before.repeats([{"runs": [second, "c" * 16], "until": None}, {"steps": 3}]) == 1
    assert before.repeats([{"runs": ["c" * 16], "until": None}]) == 0
    results.remove(out, "runs", first)
    assert before.losses(folders.state(out)) == 1
    assert folders.figures_lost(before, folders.state(out)) > 0
    assert folders.differing(out, other) == [f"runs/{first}.json"]
    (out / "runs" / ".vaebench-a.tmp").touch()
    (place / "tmp" / "left").touch()
    (out / "runs" / "x.json.broken").touch()
    assert (len(folders.temporary(place)), len(folders.broken(place))) == (2, 1)


def test_a_process_that_is_left_is_seen(tmp_path):
    from benchmarks.faults.processes import MARK, _of

    with background(["sleep", "600"], env={**os.environ, MARK: str(tmp_path)}) as sleeper:
        while not (seen := _of(tmp_path)):  # its environment is there a moment after it has begun
            assert sleeper.poll() is None
        assert seen == [sleeper.pid]
    assert _of(tmp_path) == []


@pytest.mark.parametrize(
    "begin",
    [
        "import os; os.fork()",
        "import subprocess, sys; subprocess.Popen([sys.executable, '-c', LINE])",
    ],
    ids=["forked", "started anew"],
)
def test_a_worker_is_seen(begin):
    code = f"import time; LINE = 'import time; time.sleep(600)  # vaebench.core.tether'; {begin}"
    with background([sys.executable, "-c", f"{code}; time.sleep(600)"]) as coordinator:
        while not (seen := processes.workers(coordinator.pid)):
            assert coordinator.poll() is None
        children = Path(f"/proc/{coordinator.pid}/task/{coordinator.pid}/children").read_text()
        assert seen == [int(pid) for pid in children.split()]


def test_one_finding_is_enough():
    import pandas as pd

    well = {"work": "study", "victim": "writer", "kills": 5, "lost": 0, "repeated": 0}
    findings = pd.DataFrame({"held": [True, True]})
    table = kills_table([well, well])
    assert table.to_dict("records")[-1] == {
        **well,
        "work": "all",
        "victim": "",
        "series": 2,
        "kills": 10,
    }
    assert is_well(table, findings)
    assert not is_well(kills_table([well, {**well, "lost": 1}]), findings)
    assert not is_well(table, pd.DataFrame({"held": [True, False]}))
