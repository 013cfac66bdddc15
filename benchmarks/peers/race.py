"""The race: a gate for each, then rounds in which each trains while all others wait."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.elbo import held_out_elbo
from benchmarks.peers.entries import FLOOR, REFERENCE, Peer, stack_sizes
from benchmarks.peers.work import Size, Work
from benchmarks.peers.worker import Lap, PeerError, Start, Worker

STANDARD_ERRORS = 3.0


@dataclass(frozen=True)
class Plan:
    """How long."""

    num_rounds: int = 11
    lap_seconds: float = 0.15


@dataclass(frozen=True)
class Result:
    """One peer with S runs at one size. Times are per step and run, one for each round."""

    size: str
    data: str
    peer: str
    num_runs: int  # S
    in_table: bool
    status: str  # timed, failed
    reason: str = ""
    package: str = ""
    measured: str = ""
    start_up_s: float | None = None
    threads: float | None = None
    num_steps: int = 0  # of a round
    gate_steps: int = 0  # 0: there was no gate
    check: tuple[float, ...] = ()  # loss and gradient norm at the common weights, where asked for
    elbo_nats: tuple[float, ...] = ()  # of each run of the gate
    wall_ms: tuple[float, ...] = ()
    cpu_ms: tuple[float, ...] = ()


@dataclass
class Entrant:
    """A peer with S runs, in its process."""

    peer: Peer
    num_runs: int
    worker: Worker
    elbo: list[float] = field(default_factory=list)
    check: tuple[float, ...] = ()
    start_up_s: float | None = None
    start: Start | None = None
    laps: list[Lap] = field(default_factory=list)
    failure: str = ""


@dataclass(frozen=True)
class Course:
    """A size with its data and how to race over it."""

    size: Size
    data: Path
    images: str
    plan: Plan
    say: Callable[[str], None]
    reference: Peer = REFERENCE
    """The peer whose numbers the others must reach."""

    @property
    def num_gate_steps(self) -> int:
        """0: no gate by training, as random images have none."""
        return 0 if self.images == "random" else self.size.gate_steps

    def work(self, num_runs: int, seed: int) -> Work:
        """S runs over this course."""
        return Work(self.size, self.data, num_runs, seed)


def race(course: Course, peers: Sequence[Peer], seed: int = 0) -> list[Result]:
    """All peers in all their stacks, reference first. Who fails in one takes no further part."""
    entrants: list[Entrant] = []
    try:
        x_test = course.work(1, 0).images("x_test")
        for peer in sorted(peers, key=lambda p: p != course.reference):
            for num_runs in stack_sizes(peer, course.size):
                lost = next((e.failure for e in entrants if e.peer == peer and e.failure), "")
                entrant = Entrant(peer, num_runs, Worker(peer), failure=lost)
                entrants.append(entrant)
                if not lost:
                    _get_ready(entrant, course, x_test, entrants[0])
        _rounds([e for e in entrants if e.start], course, random.Random(seed))
    finally:
        for entrant in entrants:
            entrant.worker.stop()
    return [_result(entrant, course) for entrant in entrants]


def same(check: Sequence[float], reference: Sequence[float], tolerance: float) -> str:
    """Why loss and gradient norm differ from the reference's by more than that share; ""."""
    for name, mine, theirs in zip(("loss", "gradient norm"), check, reference, strict=True):
        if not math.isclose(mine, theirs, rel_tol=tolerance):
            return f"its {name} is {mine:.6g}, the reference's {theirs:.6g}"
    return ""


def gate(elbo: Sequence[float], reference: Sequence[float], tolerance: float) -> str:
    """Why the mean ELBO differs from the reference's; "" where it does so by no more than noise."""
    error = math.hypot(*(_standard_error(values) for values in (elbo, reference)))
    difference = float(np.mean(elbo) - np.mean(reference))
    allowed = STANDARD_ERRORS * error + tolerance
    if abs(difference) <= allowed:
        return ""
    return f"held-out ELBO is {difference:+.2f} nats from the reference; allowed: {allowed:.2f}"


def _standard_error(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1) / math.sqrt(len(values)))


def _get_ready(
    entrant: Entrant, course: Course, x_test: NDArray[np.float32], reference: Entrant
) -> None:
    """Through the gate and warm, or with the reason why not."""
    course.say(f"{course.size.name}: {entrant.peer.name}, {entrant.num_runs} at once")
    size = course.size
    try:
        entrant.start_up_s = entrant.worker.ask("first_steps", course.work(entrant.num_runs, 0))
        if size.check_tolerance:
            entrant.check = entrant.worker.ask("checked", course.work(entrant.num_runs, 0))
            entrant.failure = same(entrant.check, reference.check, size.check_tolerance)
        elif _has_gate(entrant, course):
            entrant.elbo = _gate_runs(entrant, course, x_test)
            entrant.failure = gate(entrant.elbo, reference.elbo, size.tolerance_nats)
        if not entrant.failure:
            work, seconds = course.work(entrant.num_runs, 1000), course.plan.lap_seconds
            entrant.start = entrant.worker.ask("start", work, seconds)
    except PeerError as error:
        entrant.failure = str(error)
    if entrant.failure:
        course.say(f"  not timed: {entrant.failure}")


def _has_gate(entrant: Entrant, course: Course) -> bool:
    """Stacks that only figures show rely on the gate of those in the table: the code is one."""
    return (
        course.num_gate_steps > 0
        and entrant.peer.system != FLOOR.system
        and entrant.num_runs not in course.size.curve
    )


def _gate_runs(entrant: Entrant, course: Course, x_test: NDArray[np.float32]) -> list[float]:
    """The held-out ELBO of as many runs as the gate asks for, or a whole stack of them."""
    elbo: list[float] = []
    while len(elbo) < course.size.gate_runs:
        work = course.work(entrant.num_runs, len(elbo))
        weights = entrant.worker.ask("trained", work, course.num_gate_steps)
        elbo += held_out_elbo(weights, x_test)
    return elbo


def _rounds(entrants: list[Entrant], course: Course, order: random.Random) -> None:
    """Everyone once a round, in an order that is drawn anew."""
    for index in range(course.plan.num_rounds):
        course.say(f"{course.size.name}: round {index + 1} of {course.plan.num_rounds}")
        for entrant in order.sample(entrants, len(entrants)):
            assert entrant.start, "only who is ready is timed"
            entrant.laps.append(entrant.worker.ask("lap", entrant.start.num_steps))


def _result(entrant: Entrant, course: Course) -> Result:
    bare = Result(
        size=course.size.name,
        data=course.images,
        peer=entrant.peer.name,
        num_runs=entrant.num_runs,
        in_table=entrant.num_runs not in course.size.curve,
        status="timed" if entrant.start else "failed",
        reason=entrant.failure,
        start_up_s=entrant.start_up_s,
        gate_steps=course.num_gate_steps,
        check=entrant.check,
        elbo_nats=tuple(entrant.elbo),
    )
    if entrant.start is None:
        return bare
    start = entrant.start
    scale = 1e3 / (start.num_steps * entrant.num_runs)
    return replace(
        bare,
        package=start.package,
        measured=start.measured,
        threads=start.threads,
        num_steps=start.num_steps,
        wall_ms=tuple(scale * lap.wall_s for lap in entrant.laps),
        cpu_ms=tuple(scale * lap.cpu_s for lap in entrant.laps),
    )
