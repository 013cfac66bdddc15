"""What running a study would do, and about what it would cost: nothing is trained or written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vaebench import results
from vaebench.config import RunConfig
from vaebench.config.study import Refusal, Study
from vaebench.core.shown import duration, size
from vaebench.running import timing
from vaebench.running.budget import tried
from vaebench.running.checks import check, check_folder, num_bytes
from vaebench.running.choosing import COMPILING_S
from vaebench.running.cluster import Cluster
from vaebench.running.foretold import Cost, cost, makespan_s
from vaebench.running.job import Job
from vaebench.running.prepare import Prepared, prepared, settled
from vaebench.training.stepping.ways import Stepping

ESTIMATE = (
    "an estimate from counted operations, right to a factor of two on the machine of "
    "results/reference/compiling: training, compiling and the samples of the NLL"
)
FORETOLD = "likelihood"
"""The grading that draws the samples of the NLL; no other is foretold."""
TO_TRAIN = "to train"
"""The state of a run that is left; that of another is how it is recorded."""


@dataclass(frozen=True)
class Stack:
    """A stack of runs, how it takes its steps and why, and what it costs."""

    job: Job
    cost: Cost | None
    """None where it cannot be foretold: on a GPU, and where no step can be taken here."""

    @property
    def row(self) -> dict[str, Any]:
        """The line of the stack in a table."""
        counts = Counter(f"{c.variant} ({c.likelihood})" for c in self.job.configs)
        names = [name if n == 1 else f"{name} x {n}" for name, n in counts.items()]
        return {
            "runs": len(self.job.configs),
            "variants": ", ".join(names),
            "num_steps": self.job.configs[0].train.num_steps,
            "way": self.job.stepping.way,
            "why": self.job.stepping.why,
            "core_seconds": self.cost.seconds if self.cost else None,
            "memory_bytes": self.cost.num_bytes if self.cost else None,
        }


@dataclass(frozen=True)
class DryRun:
    """What a study would do in a folder."""

    folder: Path
    configs: Sequence[RunConfig]
    """The runs that are accepted."""
    refused: Sequence[Refusal]
    recorded: dict[str, results.Status]
    """How those have ended that the folder holds, by id."""
    work: Prepared | None = None
    """None where nothing is left to train."""
    stacks: Sequence[Stack] = ()
    timing_s: float | None = 0.0
    """Seconds of the timing pass; None where some variant's are not foretold."""
    disk_bytes: int = 0

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A line for each run."""
        return [
            {
                "run": config.id,
                "dataset": config.data.label,
                "likelihood": str(config.likelihood),
                "variant": config.variant,
                "seed": config.seed,
                "num_steps": config.train.num_steps,
                "state": self.recorded.get(config.id, TO_TRAIN),
            }
            for config in self.configs
        ]

    @property
    def num_graphs(self) -> int:
        """Graphs that are compiled before stacks call them."""
        return len(self.work.graphs) if self.work else 0

    @property
    def core_seconds(self) -> float | None:
        """Seconds of one core for all that is foretold; None where some stack is not."""
        costs = [stack.cost for stack in self.stacks]
        if self.timing_s is None or any(cost is None for cost in costs):
            return None
        stacks_s = sum(cost.seconds for cost in costs if cost)
        return self.num_graphs * COMPILING_S + stacks_s + self.timing_s

    @property
    def seconds(self) -> float | None:
        """Seconds until all workers are done and steps are timed; None where some stack is not
        foretold."""
        if self.work is None or self.timing_s is None or self.core_seconds is None:
            return None
        graphs = [COMPILING_S] * self.num_graphs
        stacks = [stack.cost.seconds for stack in self.stacks if stack.cost]
        return makespan_s([*graphs, *stacks], self.work.chosen.num_workers) + self.timing_s

    @property
    def not_foretold(self) -> list[str]:
        """The gradings whose time is in no figure."""
        names = {one.name for config in self.configs for one in config.evaluate.gradings}
        return sorted(names - {FORETOLD})

    @property
    def memory_bytes(self) -> int | None:
        """Bytes of memory of the largest stacks that may be at work at once: their weights, moments
        and tensors, not what Python and torch take in each process."""
        if self.work is None or self.core_seconds is None:
            return None
        sizes = sorted((stack.cost.num_bytes for stack in self.stacks if stack.cost), reverse=True)
        return sum(sizes[: self.work.chosen.num_workers])


def dry_run(
    study: Study,
    folder: Path,
    *,
    executor: str,
    workers: int | None,
    cluster: Cluster,
    plugins: Sequence[str],
    compiles: str,
    timings: bool,
) -> DryRun:
    """What `run_all` would do. Raises InputError where it would refuse the study as a whole."""
    configs, refused = tried(study)
    check(configs, executor, workers, cluster, plugins, compiles)
    check_folder(configs, folder)
    recorded = settled(configs, folder)
    pending = [config for config in configs if config.id not in recorded]
    if not pending:
        return DryRun(folder, configs, refused, recorded)
    work = prepared(
        configs,
        folder,
        study.name,
        executor=executor,
        workers=workers,
        cluster=cluster,
        plugins=plugins,
        compiles=compiles,
    )
    stacks = [
        Stack(job, cost_here(job.configs, job.stepping, job.device))
        for job in work.jobs
        if job.graph_of is None
    ]
    timing_s = _timing_s(work) if timings else 0.0
    return DryRun(folder, configs, refused, recorded, work, stacks, timing_s, num_bytes(pending))


def _timing_s(work: Prepared) -> float | None:
    """Seconds of the timing pass; None where those of some variant are not foretold."""
    total_s = 0.0
    for runs in timing.variants_of(work.configs):
        cost = cost_here(runs, work.steppings[runs[0].stack_key], str(work.device))
        if cost is None:
            return None
        total_s += timing.seconds(cost.training_s / runs[0].train.num_steps)
    return total_s


def cost_here(configs: Sequence[RunConfig], stepping: Stepping, device: str) -> Cost | None:
    """What runs cost side by side; None on a GPU, and where no step of theirs can be counted."""
    if device != "cpu":
        return None
    try:
        return cost(configs, stepping)
    except Exception:  # what keeps a step from being taken is the worker's to record
        return None


def in_words(dry: DryRun) -> Iterator[str]:
    """What would be done, and what that costs, in sentences."""
    if dry.recorded:
        yield f"{len(dry.recorded)} of {len(dry.configs)} runs are recorded in {dry.folder}"
    if dry.work is None:
        yield "nothing is left to train"
        return
    yield f"would train {str(dry.work).removeprefix('training ')}"
    if dry.seconds is None or dry.core_seconds is None or dry.memory_bytes is None:
        yield "time and memory are not foretold: on a GPU, or where no step can be counted here"
    else:
        yield (
            f"estimated: {duration(dry.seconds)}, {duration(dry.core_seconds)} of one core "
            f"in all, {size(dry.memory_bytes)} of memory beside what torch takes, "
            f"{size(dry.disk_bytes)} on disk"
        )
        timed = ", and the timing pass" if dry.timing_s else ""
        yield f"{ESTIMATE}{timed}"
        if dry.not_foretold:
            yield f"not in it: the gradings {', '.join(dry.not_foretold)}"
