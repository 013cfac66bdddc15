"""Time and memory of what reads a results folder of 100,000 synthetic records.

`nox -s folder` runs it. Each command runs in a process of its own, one thread each, with an index
that is up to date; `vb.load` also with none, when it reads every file and makes one. Files are in
the system's cache. `peak_gib` is the most memory that a command and its child have held together,
what they share counted once; it is looked at ten times a second.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

from benchmarks.folder.synthetic import write
from vaebench.results.index import NAME

LOAD = "import sys, vaebench as vb; vb.load(sys.argv[1])"
VAEBENCH = ("-m", "vaebench")
LOOK_S = 0.1


def commands(folder: Path, out: Path) -> dict[str, list[str]]:
    """What is measured, by name: the arguments of Python."""
    return {
        "vb.load": ["-c", LOAD, str(folder)],
        "runs": [*VAEBENCH, "runs", str(folder), "--status", "failed"],
        "compare": [*VAEBENCH, "compare", str(folder)],
        "report": [*VAEBENCH, "report", str(folder), "--out", str(out / "report")],
    }


def held_kib(pid: int) -> int:
    """What a process and those that it has started hold now; memory they share counts once."""
    place = Path("/proc", str(pid))
    try:
        lines = (place / "smaps_rollup").read_text().splitlines()
        threads = list((place / "task").glob("*/children"))  # each has those that it has started
        children = [child for path in threads for child in path.read_text().split()]
    except OSError:  # it has just ended
        return 0
    held = next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
    return held + sum(held_kib(int(child)) for child in children)


def measured(name: str, arguments: list[str]) -> dict[str, object]:
    """Wall-clock seconds, seconds of the processor, and the peak memory of one command."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.DEVNULL, env=environment
    )
    peak_kib = 0
    while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
        peak_kib = max(peak_kib, held_kib(process.pid))
        time.sleep(LOOK_S)
    _, status, used = ended
    seconds = time.perf_counter() - start
    if status:
        raise SystemExit(f"{name} ended with status {os.waitstatus_to_exitcode(status)}")
    cpu = used.ru_utime + used.ru_stime
    return {
        "command": name,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        "peak_gib": round(peak_kib / 2**20, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("results/runs/synthetic"))
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--only", choices=commands(Path(), Path()), nargs="+")
    parser.add_argument("--out", type=Path, default=Path("results/reference/folder"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    if not (arguments.folder / "runs").is_dir():
        write(arguments.folder, arguments.runs)
    table = []
    every = commands(arguments.folder, arguments.folder)
    if not (arguments.folder / NAME).exists():
        subprocess.run([sys.executable, *every["vb.load"]], check=True)
    for name in arguments.only or every:
        if name == "vb.load":
            (arguments.folder / NAME).unlink(missing_ok=True)
            table.append(measured("vb.load, no index yet", every[name]))
        table.append(measured(name, every[name]))
        print(table[-1], flush=True)
    rows = pd.DataFrame(table).assign(records=arguments.runs)
    path = arguments.out / "limits.csv"
    if path.exists():  # of the commands that were not measured now
        rows = pd.concat([pd.read_csv(path), rows]).drop_duplicates("command", keep="last")
    rows.to_csv(path, index=False)
    print(rows.to_string(index=False))


if __name__ == "__main__":
    main()
