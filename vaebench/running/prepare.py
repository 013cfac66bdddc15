"""What is to be done of a study, before anything of it is: the runs that are left, in jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from vaebench import results
from vaebench.config import RunConfig
from vaebench.running.choosing import COMPILE, Study, in_words, kinds_of_graphs
from vaebench.running.cluster import Cluster
from vaebench.running.executors import EXECUTORS
from vaebench.running.job import SETTLED, Job
from vaebench.running.plan import StackPlan, plan
from vaebench.running.schedule import schedule
from vaebench.training.stepping.ways import Stepping


@dataclass(frozen=True)
class Prepared:
    """The runs of a study that are left, where they are trained, and by which steps."""

    configs: Sequence[RunConfig]
    """All runs of the study."""
    settled: Mapping[str, results.Status]
    """How those have ended that are not trained again, by id."""
    device: torch.device
    chosen: StackPlan
    steppings: Mapping[str, Stepping]
    """How runs take their steps, by stack key."""
    jobs: Sequence[Job]
    """A job for each graph to be compiled, then one for each stack."""

    @property
    def pending(self) -> list[RunConfig]:
        """The runs that are left."""
        return [config for config in self.configs if config.id not in self.settled]

    @property
    def graphs(self) -> list[Job]:
        """The jobs that compile a graph."""
        return [job for job in self.jobs if job.graph_of is not None]

    @property
    def num_steps(self) -> int:
        """The training steps of all runs that are left."""
        return sum(config.train.num_steps for config in self.pending)

    def __str__(self) -> str:
        ways = in_words(self.configs, self.steppings)
        return f"training {len(self.pending)} runs: {self.chosen}; {ways}"


def settled(configs: Sequence[RunConfig], out: Path) -> dict[str, results.Status]:
    """How those of these runs have ended that a folder holds and that are not trained again.

    A failed run counts as not recorded: what stopped it may be mended.
    """
    ended = results.recorded(out)
    return {c.id: ended[c.id] for c in configs if ended.get(c.id) in SETTLED}


def prepared(
    configs: Sequence[RunConfig],
    out: Path,
    study: str,
    *,
    executor: str,
    workers: int | None,
    cluster: Cluster,
    plugins: Sequence[str],
    compiles: str,
) -> Prepared:
    """What is to be done of a study, of which some run is left. Nothing is written."""
    ended = settled(configs, out)
    machine = EXECUTORS[executor].machine(workers, cluster)
    whole = Study(configs, machine.device, machine.cores)
    steppings = COMPILE[compiles](whole, results.records(out))
    chosen = plan([c for c in configs if c.id not in ended], machine, kinds_of_graphs(steppings))
    files = tuple(str(Path(p).resolve()) for p in plugins)
    stacks = _jobs(chosen, steppings, study, files, str(machine.device))
    jobs = schedule(stacks, chosen.num_workers)
    return Prepared(configs, ended, machine.device, chosen, steppings, jobs)


def _jobs(
    chosen: StackPlan,
    steppings: Mapping[str, Stepping],
    study: str,
    plugins: tuple[str, ...],
    device: str,
) -> list[Job]:
    """One job per stack."""
    return [
        Job(
            tuple(stack),
            study,
            plugins,
            device,
            chosen.needs(stack, device),
            steppings[stack[0].stack_key],
            Path.cwd(),
        )
        for stack in chosen.stacks
    ]
