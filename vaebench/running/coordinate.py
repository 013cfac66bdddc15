"""The coordinator of a study: it hands out jobs, and alone writes what comes of them."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from vaebench import results
from vaebench.config import RunConfig
from vaebench.results import Record
from vaebench.running.events import Begun, Compiled, Event, FileOf, Lost, Recorded, Steps
from vaebench.running.job import SETTLED, Job, divided, without
from vaebench.running.listeners import NOBODY, Audience
from vaebench.running.meter import UNSEEN, Meter
from vaebench.running.recording import failures
from vaebench.running.standing import Best, Standing

MAX_DEATHS = 3
"""Workers that may die with a run before it is recorded as failed."""
MAX_MACHINES = 10
"""Machines that may be lost with a run; more count as deaths, as it may be to blame."""
NUM_NAMED = 3
"""Runs that are named where more may have been at work."""


@dataclass
class Account:
    """What has become of the runs of some jobs: it writes the folder, counts and tells."""

    out: Path
    ended: dict[str, results.Status]
    """How each run has ended, by id; at the start those that are settled."""
    meter: Meter = UNSEEN
    audience: Audience = NOBODY
    num_runs: int | None = None
    """Runs in all, those that are settled included; None where that is not known."""
    num_graphs: int = 0
    graphs_ready: int = 0
    running: list[Job] = field(default_factory=list)
    compiling: dict[str, str] = field(default_factory=dict)
    """The variant for which each kind of graph is being compiled."""
    best: Best = field(default_factory=Best)
    counts: Counter[str] = field(init=False)
    """How many runs have ended how."""

    def __post_init__(self) -> None:
        self.counts = Counter(self.ended.values())

    @property
    def standing(self) -> Standing:
        """Where the runs stand now."""
        return Standing(
            dict(self.counts),
            self.num_runs,
            at_work=len(self._left()),
            compiling=tuple(self.compiling.values()),
            graphs_ready=self.graphs_ready,
            num_graphs=self.num_graphs,
            best=tuple(self.best.sentences()),
        )

    def take(self, event: Event) -> list[Job]:
        """Write or count what has happened; returns the jobs that are to follow after a loss."""
        match event:
            case Steps(count, points):
                self.meter.on_steps(count)
                for run in points.keys() - self.ended.keys():
                    for point in points[run]:
                        self.audience.curve_point(run, point)
            case FileOf(run, part, content):
                if self.ended.get(run) not in SETTLED:
                    results.write_part(self.out, part, run, content)
            case Recorded(record):
                self._record(record)
            case Compiled(kind):
                self._compiled(kind)
            case Begun(job):
                self._begun(job)
            case Lost(job, how, with_machine):
                following = self._lost(job, how, with_machine)
                self.meter.on_standing(self.standing)
                return following
        return []

    def _begun(self, job: Job) -> None:
        if job.graph_of is not None:
            self.compiling[job.stepping.kind] = job.graph_of.variant
        else:
            self.running.append(job)
            for config in job.configs:
                self.audience.run_started(config)
        self.meter.on_standing(self.standing)

    def _compiled(self, kind: str) -> None:
        self.compiling.pop(kind, None)
        self.graphs_ready += 1
        self.meter.on_standing(self.standing)

    def _record(self, record: Record) -> None:
        if self.ended.get(record.run) in SETTLED:
            return  # of a worker that was thought dead, and was not
        results.write(self.out, record)
        self.counts.update({record.status: 1})
        self.counts.subtract([self.ended[record.run]] if record.run in self.ended else [])
        self.ended[record.run] = record.status
        self.best.count(record)
        self.audience.run_recorded(record)
        if over := [job for job in self.running if not without(job, self.ended).configs]:
            self.running = [job for job in self.running if job not in over]
            self.meter.on_standing(self.standing)

    def _lost(self, job: Job, how: str, with_machine: bool) -> list[Job]:
        """What follows after a worker died: its runs in halves, then alone, then as failed.

        As it may have died for want of memory, or for one run of the stack alone. Where its machine
        was lost too, they are done again as they were.
        """
        self.running = [other for other in self.running if other is not job]
        self.compiling.pop(job.stepping.kind if job.graph_of else "", None)
        left = without(job, self.ended)
        if not left.configs:
            return []
        if with_machine and left.machines_lost < MAX_MACHINES:
            return [replace(left, machines_lost=left.machines_lost + 1)]
        left = replace(left, deaths=left.deaths + 1)
        if left.deaths < MAX_DEATHS:
            return divided(left, -(-len(left.configs) // 2) if left.deaths == 1 else 1)
        reason = f"its worker died {MAX_DEATHS} times, the last time with this run alone ({how})"
        for event in failures(left, reason):
            self._record(event.record)
        return []

    def _left(self) -> list[RunConfig]:
        """The runs that workers have begun and not ended."""
        return [config for job in self.running for config in without(job, self.ended).configs]

    def at_work(self) -> str:
        """Which runs workers have begun and not ended, in words; "" where none."""
        names = [f"{config.variant} seed {config.seed}" for config in self._left()]
        if not names:
            return ""
        more = f" and {len(names) - NUM_NAMED} more" if len(names) > NUM_NAMED else ""
        were = "was" if len(names) == 1 else "were"
        return f"{', '.join(names[:NUM_NAMED])}{more} {were} at work, to be done again"


Performing = Callable[[deque[Job]], Generator[Event, None, None]]
"""What an executor does with waiting jobs, once its other arguments are given."""


class Session:
    """An executor at work from one list of jobs to the next, so that its workers stay.

    It is a context: at its end, what is still at work is stopped.
    """

    def __init__(self, stays: bool) -> None:
        self.stays, self.waiting = stays, deque[Job]()
        self.events: Generator[Event, None, None] | None = None
        self.kinds: set[str] = set()
        """Kinds of steps of which jobs were scheduled: a graph that they call is made once."""

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop what is at work; the next jobs get new workers."""
        if self.events is not None:
            self.events.close()
        self.events, self.waiting = None, deque()

    def carry_out(self, jobs: Sequence[Job], perform: Performing, account: Account) -> None:
        """Have jobs performed, and those that follow from losses, until every run has ended.

        It returns at the last record: what its worker says after that is read with the next jobs,
        of which it can take one at once.
        """
        self.waiting.extend(jobs)
        runs = {config.id for job in jobs for config in job.configs}
        with _named(account):
            while not runs <= account.ended.keys():
                self.events = self.events or perform(self.waiting)
                event = next(self.events, None)
                if event is None:  # all workers had left before these jobs came
                    self.events = None
                elif not isinstance(event, Lost) or _is_of(event.job, jobs):
                    self.waiting.extend(account.take(event))
        if not self.stays:
            self.close()


def _is_of(job: Job, jobs: Sequence[Job]) -> bool:
    """Whether a job is one of these, or a part of one; not of an earlier list."""
    ids = {config.id for config in job.configs}
    return any(ids <= {c.id for c in other.configs} and job.until == other.until for other in jobs)


def carry_out(
    jobs: Sequence[Job],
    perform: Performing,
    account: Account,
) -> None:
    """Have jobs performed, and those that follow from losses, until every run has ended."""
    waiting = deque(jobs)
    with _named(account), closing(perform(waiting)) as events:
        for event in events:
            waiting.extend(account.take(event))


@contextmanager
def _named(account: Account) -> Iterator[None]:
    """Add a note to an interruption: which runs were at work."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        if words := account.at_work():
            interrupt.add_note(words)
        raise
