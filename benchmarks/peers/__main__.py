"""`python -m benchmarks.peers`: race, and write rows, tables and figures."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import msgspec

from benchmarks.peers.entries import PEERS, REFERENCE, SIZES
from benchmarks.peers.figures import cost, total
from benchmarks.peers.images import store
from benchmarks.peers.page import page
from benchmarks.peers.race import Course, Plan, Result, race
from benchmarks.peers.work import Size
from benchmarks.peers.worker import ONE_THREAD
from vaebench.running.environment import describe

SMOKE = Plan(num_rounds=3, lap_seconds=0.05)


class Parser(argparse.ArgumentParser):
    """A user's mistake is one line and status 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"peers: {message}\n")


def main(arguments: Sequence[str]) -> None:
    """Race and write."""
    options = _parser().parse_args(arguments)
    os.environ.update(ONE_THREAD)
    plan = SMOKE if options.smoke else Plan()
    plan = replace(plan, num_rounds=options.rounds or plan.num_rounds)
    names = options.size or [size.name for size in (SIZES[:1] if options.smoke else SIZES)]
    chosen = [size for size in SIZES if size.name in names]
    sizes = [_shortened(size) for size in chosen] if options.smoke else chosen
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:
        for size in sizes:
            path, images = store(size, Path(folder))
            peers = [p for p in PEERS if p.name in options.peers or p == REFERENCE]
            results += race(Course(size, path, images, plan, _say), peers)
            write(results, options.out)
    print((options.out / "table.md").read_text())


def write(results: Sequence[Result], out: Path) -> None:
    """race.json with everything, table.md, cost.png and total.png."""
    out.mkdir(parents=True, exist_ok=True)
    environment = describe("cpu") | {"cores": str(os.cpu_count()), "threads": "1"}
    record = msgspec.json.encode({"environment": environment, "results": results})
    (out / "race.json").write_bytes(msgspec.json.format(record, indent=1) + b"\n")
    (out / "table.md").write_text(page(results, environment))
    for name, draw in {"cost": cost, "total": total}.items():
        draw(results).savefig(out / f"{name}.png", dpi=140)


def _shortened(size: Size) -> Size:
    """Alone and in the stack of the targets, with a shorter gate."""
    steps, runs = size.gate_steps // 3, size.gate_runs // 2
    return replace(size, stacks=(size.stack,), curve=(), gate_steps=steps, gate_runs=runs)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1; got {text!r}")
    return int(text)


def _parser() -> Parser:
    parser = Parser(prog="peers", description=__doc__)
    names = [peer.name for peer in PEERS]
    parser.add_argument("--rounds", type=_positive, help=f"default: {Plan().num_rounds}")
    parser.add_argument("--size", nargs="+", choices=[size.name for size in SIZES])
    parser.add_argument("--peers", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--smoke", action="store_true", help="the small size, in two minutes")
    parser.add_argument("--out", type=Path, default=Path("results/runs/peers"))
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
