"""What else may happen to a folder: a full disk, no rights, damage, a clock that jumps, other data.

Each fault lets commands run, and says for each thing that must hold whether it did.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.faults import folders, processes
from benchmarks.faults.folders import num_steps
from benchmarks.faults.works import NUM_RUNS, WORKS, Work, write_data
from vaebench import results

DISK = (
    "mount -t tmpfs -o size=8m tmpfs out && cp -a given/. out/ && {then} "
    '"$@"; status=$?; rm -f out/filler; cp -a out/. kept/; exit $status'
)
"""Runs a command with its output folder on a disk of its own, and copies that at the end."""
FULL, READ_ONLY = DISK.format(then=""), DISK.format(then="mount -o remount,ro out;")
NAMESPACE = ("unshare", "--map-root-user", "--mount", "sh", "-c")
"""Begins a command that may mount disks, which nobody else sees and which end with it."""
SHARES = (0.1, 0.4, 0.7)
"""Where the disk is full, as shares of the steps of writing that a command takes."""
TEN_YEARS_S = 10 * 365 * 86400.0


@dataclass(frozen=True)
class Finding:
    """One thing that must hold under a fault."""

    fault: str
    command: str
    must_hold: str
    held: bool


@dataclass
class Bench:
    """Where one fault is tried."""

    place: Path
    references: Path

    def begin(self, work: Work, *, is_done: bool = False) -> None:
        """Make the folder anew; where the work is done, with all that it has made."""
        shutil.rmtree(self.place, ignore_errors=True)
        work.prepare(self.place, self.references)
        if is_done:
            shutil.rmtree(self.place / "out", ignore_errors=True)
            shutil.copytree(self.references / work.name / "out", self.place / "out")

    def give(self, *arguments: str, before: tuple[str, ...] = (), **faults: object) -> Ended:
        """Give a command, and wait for its end."""
        path = self.place / "said"
        since = path.stat().st_size if path.exists() else 0
        status = processes.finish(processes.start(self.place, arguments, before, **faults))
        return Ended(status, path.read_bytes()[since:].decode())

    def on_a_disk(self, script: str, *arguments: str, **faults: object) -> Ended:
        """Give a command with its output folder, as it is, on a disk of its own."""
        out, original, kept = (self.place / name for name in ("out", "given", "kept"))
        out.mkdir(exist_ok=True)
        out.rename(original)
        out.mkdir()
        kept.mkdir()
        ended = self.give(*arguments, before=(*NAMESPACE, script, "sh"), **faults)
        out.rmdir()
        kept.rename(out)
        shutil.rmtree(original)
        return ended

    def differing(self, work: Work) -> list[str]:
        """The files that are not as the work leaves them undisturbed."""
        return folders.differing(self.place / "out", self.references / work.name / "out")

    def trained(self, since: int = 0) -> list[dict[str, Any]]:
        """The stacks that were trained, since a line of the log."""
        return [line for line in folders.read_log(self.place)[since:] if "runs" in line]


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said."""

    status: int
    said: str

    def refused(self, *words: str) -> bool:
        """Whether it ended with status 2 and one line, its last, with these words."""
        lines = [line for line in self.said.splitlines() if line.startswith("vaebench: ")]
        return self.status == 2 and not self.is_traceback and _all_in(words, lines[-1:])

    def went_on(self, *words: str) -> bool:
        """Whether it ended well, and said these words."""
        return self.status == 0 and not self.is_traceback and _all_in(words, [self.said])

    @property
    def is_traceback(self) -> bool:
        """Whether it said where in the code it failed, which is nothing for users."""
        return "Traceback" in self.said


def full_disk(bench: Bench) -> Iterator[Finding]:
    """The disk has no room left from some step of writing on; then it has."""
    for work in WORKS.values():
        for share in SHARES:
            bench.begin(work)
            at = max(1, int(share * num_steps(bench.references / work.name)))
            ended = bench.on_a_disk(FULL, *work.arguments, at=at, fill="out/filler")
            left = folders.temporary(bench.place)
            again = bench.give(*work.arguments)
            fault = f"disk full at {share:.0%} of the writing"
            held = ended.refused("No space left on device")
            yield Finding(
                fault, work.name, "one line, status 2, no temporary file", held and not left
            )
            same = again.went_on() and not bench.differing(work)
            yield Finding(fault, work.name, "with room again it ends as undisturbed", same)


def read_only(bench: Bench) -> Iterator[Finding]:
    """Nothing can be written in the folder."""
    for work in WORKS.values():
        bench.begin(work)
        ended = bench.on_a_disk(READ_ONLY, *work.arguments)
        held = ended.refused("Read-only file system")
        yield Finding("read-only folder", work.name, "one line, status 2", held)
    study = WORKS["study"]
    for reader in (("runs", "out"), ("compare", "out"), ("export", "out", "rows.csv")):
        bench.begin(study, is_done=True)
        ended = bench.on_a_disk(READ_ONLY, *reader)
        yield Finding("read-only folder", reader[0], "it reads", ended.went_on())


def _truncate(path: Path, chance: random.Random) -> None:
    os.truncate(path, chance.randrange(path.stat().st_size))


def _empty(path: Path, chance: random.Random) -> None:
    os.truncate(path, 0)


def _garble(path: Path, chance: random.Random) -> None:
    path.write_bytes(chance.randbytes(path.stat().st_size))


def _replace(path: Path, chance: random.Random) -> None:
    path.write_text('{"run": "mine", "loss": [1, 2]}')


def _swap(path: Path, chance: random.Random) -> None:
    others = [other for other in path.parent.glob("*.json") if other != path]
    path.write_bytes(chance.choice(sorted(others)).read_bytes())


def _make_folder(path: Path, chance: random.Random) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: Mapping[str, Callable[[Path, random.Random], None]] = {
    "truncated": _truncate,
    "emptied": _empty,
    "garbled": _garble,
    "foreign JSON": _replace,
    "another run's": _swap,
    "a folder": _make_folder,
}


def damaged_records(bench: Bench) -> Iterator[Finding]:
    """Records that cannot be read, or are not of their run."""
    study, report = WORKS["study"], WORKS["report"]
    for name, damage in DAMAGES.items():
        bench.begin(study, is_done=True)
        path = sorted((bench.place / "out" / "runs").glob("*.json"))[5]
        damage(path, random.Random(name))
        fault = f"a record is {name}"
        read = bench.give(*report.arguments)
        shutil.rmtree(bench.place / "out" / "report", ignore_errors=True)
        yield Finding(
            fault, "report", "it is named and left out", read.went_on("left out", path.stem)
        )
        again = bench.give(*study.arguments)
        aside = path.with_name(f"{path.name}.broken")
        held = again.went_on(path.stem) and aside.exists()
        yield Finding(fault, "study", "it is named, and set aside", held)
        runs = [line["runs"] for line in bench.trained()]
        yield Finding(fault, "study", "its run alone is done again", runs == [[path.stem]])
        same = bench.differing(study) == [str(aside.relative_to(bench.place / "out"))]
        yield Finding(fault, "study", "it ends as undisturbed", same or aside.is_dir())


def later_record(bench: Bench) -> Iterator[Finding]:
    """A record of a schema that is not known yet."""
    study = WORKS["study"]
    bench.begin(study, is_done=True)
    path = sorted((bench.place / "out" / "runs").glob("*.json"))[5]
    later = path.read_text().replace('"schema": 1', '"schema": 99')
    later = later if '"schema": 99' in later else later.replace("{", '{"schema": 99,', 1)
    path.write_text(later)
    ended = bench.give(*study.arguments)
    held = ended.refused(path.stem, "schema 99") and path.read_text() == later
    yield Finding(
        "a record is of a later schema", "study", "one line, status 2, not replaced", held
    )


def damaged_files(bench: Bench) -> Iterator[Finding]:
    """Files beside the records are cut short."""
    evaluation = WORKS["evaluation"]
    for part in ("weights", "examples"):
        bench.begin(evaluation)
        path = sorted((bench.place / "out" / part).iterdir())[5]
        os.truncate(path, path.stat().st_size // 2)
        ended = bench.give(*evaluation.arguments)
        held = ended.status == 1 and not ended.is_traceback and path.stem in ended.said
        yield Finding(
            f"{part} are cut short", "evaluation", "the run is named, others graded", held
        )


def damaged_journal(bench: Bench) -> Iterator[Finding]:
    """The trials of a sweep are cut short, as by a machine that lost power, or garbled."""
    sweep = WORKS["sweep"]
    bench.begin(sweep, is_done=True)
    path = bench.place / "out" / "sweep.journal"
    os.truncate(path, path.stat().st_size - 7)
    ended = bench.give(*sweep.arguments)
    same = ended.went_on() and not bench.differing(sweep)
    yield Finding("a journal's last line is cut short", "sweep", "it ends as undisturbed", same)
    bench.begin(sweep, is_done=True)
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(content[:middle] + b"\0\xff\n" + content[middle:])
    ended = bench.give(*sweep.arguments)
    held = ended.refused("sweep.journal")
    yield Finding("a journal is garbled in its middle", "sweep", "one line, status 2", held)


def clocks(bench: Bench) -> Iterator[Finding]:
    """The time of day jumps by years at every look; files are of the future, or long past."""
    for work in WORKS.values():
        bench.begin(work)
        same = bench.give(*work.arguments, clock=7).went_on() and not bench.differing(work)
        yield Finding("the clock jumps", work.name, "it ends as undisturbed", same)
    for when, ahead in (("in the future", TEN_YEARS_S), ("long ago", -3 * TEN_YEARS_S)):
        for name in ("study", "sweep"):
            bench.begin(WORKS[name], is_done=True)
            _date(bench.place, ahead)
            same = bench.give(*WORKS[name].arguments).went_on() and not bench.differing(WORKS[name])
            held = same and not bench.trained()
            yield Finding(f"all files are dated {when}", name, "nothing is done again", held)


def changed_data(bench: Bench) -> Iterator[Finding]:
    """The data set is another one after a kill, or from some time on while the study runs."""
    study = WORKS["study"]
    fault = "the data change after a kill"
    bench.begin(study)
    bench.give(*study.arguments, at=num_steps(bench.references / study.name) // 2)
    kept = folders.state(bench.place / "out").records
    write_data(bench.place / "data.npz", seed=1)
    ended = bench.give(*study.arguments)
    now = folders.state(bench.place / "out").records
    held = ended.went_on() and all(now.get(run) == record for run, record in kept.items())
    yield Finding(fault, study.name, "what was recorded stays", held)
    held = ended.went_on("on other contents of") and len(now) == len(kept) + NUM_RUNS
    yield Finding(fault, study.name, "it is said, and runs of the new data are others", held)
    fault = "the data change while it runs"
    bench.begin(study)
    process = processes.start(bench.place, study.arguments)
    while not bench.trained() and process.poll() is None:
        time.sleep(0.01)
    write_data(bench.place / "data.npz", seed=1)
    status = processes.finish(process)
    records = list(results.records(bench.place / "out"))
    failed = [record.reason for record in records if record.status == "failed"]
    held = status == 1 and bool(failed) and all("changed since" in reason for reason in failed)
    yield Finding(fault, study.name, "what was not begun fails by that reason", held)
    write_data(bench.place / "data.npz", seed=0)
    same = bench.give(*study.arguments).went_on() and not bench.differing(study)
    yield Finding(fault, study.name, "with the data back it ends as undisturbed", same)


FAULTS = (
    full_disk,
    read_only,
    damaged_records,
    later_record,
    damaged_files,
    damaged_journal,
    clocks,
    changed_data,
)


def _date(place: Path, ahead: float) -> None:
    for path in place.rglob("*"):
        os.utime(path, (time.time() + ahead,) * 2)


def _all_in(words: tuple[str, ...], lines: list[str]) -> bool:
    return bool(lines) and all(word in lines[0] for word in words)
