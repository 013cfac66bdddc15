"""`python -m benchmarks.peers`: race, and write rows, tables and figures."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from matplotlib.figure import Figure

from benchmarks.peers import page, stored
from benchmarks.peers.entries import PEERS, REFERENCE, SIZES, Peer
from benchmarks.peers.figures import cost, total
from benchmarks.peers.images import store
from benchmarks.peers.race import Course, Plan, Result, race
from benchmarks.peers.shapes.sizes import MODULE_PEERS, MODULES, SHAPE_PEERS, SHAPES
from benchmarks.peers.studies.laps import Lap
from benchmarks.peers.studies.laps import race as race_studies
from benchmarks.peers.studies.programs import Work
from benchmarks.peers.studies.report import figure
from benchmarks.peers.studies.variants import NUM_STEPS
from benchmarks.peers.work import Size
from benchmarks.peers.worker import ONE_THREAD
from vaebench.running.environment import describe

SMOKE = Plan(num_rounds=3, lap_seconds=0.05)
STUDY_ROUNDS = 1
"""How many rounds of whole studies: each takes about eight minutes."""


@dataclass(frozen=True)
class Part:
    """A part of the race: it is run alone, and adds to what is there of the others."""

    kind: type[Any]
    """The type of its results."""
    run: Callable[[argparse.Namespace, Sequence[Any]], Iterator[list[Any]]]
    """(options, results to be kept) -> all results, again and again as there are more."""
    words: Callable[[Sequence[Any]], Iterator[str]]
    figures: Mapping[str, Callable[[Sequence[Any]], Figure]]


class Parser(argparse.ArgumentParser):
    """A user's mistake is one line and status 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"peers: {message}\n")


def main(arguments: Sequence[str]) -> None:
    """Race and write."""
    options = _parser().parse_args(arguments)
    for name in options.only:
        part, path = PARTS[name], options.out / f"{name}.json"
        known = stored.read(path, part.kind) if options.resume else None
        for results in part.run(options, known.results if known else []):
            stored.write(path, _environment(), results)
        write_report(options.out)
    print((options.out / "table.md").read_text())


def write_report(out: Path) -> None:
    """table.md and the figures, of all parts that are there."""
    lines: list[str] = []
    for name, part in PARTS.items():
        measured = stored.read(out / f"{name}.json", part.kind)
        if measured and measured.results:
            lines += [*part.words(measured.results), page.environment_line(measured.environment)]
            for figure_name, draw in part.figures.items():
                draw(measured.results).savefig(out / f"{figure_name}.png", dpi=140)
    (out / "table.md").write_text("\n\n".join(lines) + "\n")


def _steps(options: argparse.Namespace, known: Sequence[Result]) -> Iterator[list[Result]]:
    """The plain VAE, at two sizes."""
    peers = [peer for peer in PEERS if peer.name in options.peers or peer == REFERENCE]
    sizes = [_shortened(size) for size in SIZES[:1]] if options.smoke else list(SIZES)
    yield from _raced(options, known, sizes, peers, REFERENCE)


def _shapes(options: argparse.Namespace, known: Sequence[Result]) -> Iterator[list[Result]]:
    """Other models and objectives."""
    shapes, modules = (SHAPES[1:2], MODULES[:1]) if options.smoke else (SHAPES, MODULES)
    results = list(known)
    for results in _raced(options, known, shapes, SHAPE_PEERS, SHAPE_PEERS[0]):
        yield results
    yield from _raced(options, results, modules, MODULE_PEERS, MODULE_PEERS[0])


def _raced(
    options: argparse.Namespace,
    known: Sequence[Result],
    sizes: Sequence[Size],
    peers: Sequence[Peer],
    reference: Peer,
) -> Iterator[list[Result]]:
    """Size after size, but for those that are known."""
    os.environ.update(ONE_THREAD)
    plan = SMOKE if options.smoke else Plan()
    plan = replace(plan, num_rounds=options.rounds or plan.num_rounds)
    names = set(options.size or [size.name for size in sizes]) - {r.size for r in known}
    results = list(known)
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:
        for size in sizes:
            if size.name in names:
                path, images = store(size, Path(folder))
                results += race(Course(size, path, images, plan, _say, reference), peers)
                yield results


def _studies(options: argparse.Namespace, known: Sequence[Lap]) -> Iterator[list[Lap]]:
    """The whole default study."""
    work = Work(options.steps, num_seeds=2) if options.smoke else Work(options.steps)
    here = work.num_steps, work.num_runs
    same = [lap for lap in known if (lap.num_steps, lap.num_runs) == here and not lap.failure]
    yield from race_studies(work, options.rounds or STUDY_ROUNDS, same, _say)


PARTS = {
    "steps": Part(Result, _steps, page.steps_page, {"cost": cost, "total": total}),
    "shapes": Part(Result, _shapes, page.shapes_page, {}),
    "studies": Part(Lap, _studies, page.studies_page, {"studies": figure}),
}


def _environment() -> dict[str, str]:
    return describe("cpu") | {"cores": str(os.cpu_count())}


def _shortened(size: Size) -> Size:
    """Alone and in the stack of the targets, with a shorter gate."""
    steps, runs = size.gate_steps // 3 // size.block * size.block, size.gate_runs // 2
    return replace(size, stacks=(size.stack,), curve=(), gate_steps=steps, gate_runs=runs)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1; got {text!r}")
    return int(text)


def _parser() -> Parser:
    parser = Parser(prog="peers", description=__doc__)
    peers, sizes = (
        [peer.name for peer in PEERS],
        [size.name for size in (*SIZES, *SHAPES, *MODULES)],
    )
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--rounds", type=_positive, help=f"{Plan().num_rounds}; {STUDY_ROUNDS}")
    parser.add_argument("--steps", type=_positive, default=NUM_STEPS, help="of a study's runs")
    parser.add_argument("--size", nargs="+", choices=sizes, help="of steps and shapes")
    parser.add_argument("--peers", nargs="+", choices=peers, default=peers, metavar="NAME")
    parser.add_argument("--resume", action="store_true", help="keep what --out has measured")
    parser.add_argument("--smoke", action="store_true", help="a little of each, in minutes")
    parser.add_argument("--out", type=Path, default=Path("results/runs/peers"))
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
