"""The jobs of a study in the order in which workers are given them: graphs, then stacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from vaebench.running.choosing import graphs_on_disk
from vaebench.running.job import Job


def schedule(stacks: Sequence[Job], num_workers: int) -> list[Job]:
    """A job for each graph that is not on disk, before those of the stacks that call it.

    Both begin with the longest, so that no worker is left with one at the end. Graphs go in the
    order in which stacks will want them. When the first stack begins, others may still compile the
    last graphs: the stacks of these come last, so that none waits for its graph while others could
    train.
    """
    by_kind = _missing(stacks)
    work: Counter[str] = Counter()
    for job in stacks:
        if job.stepping.kind in by_kind:
            work[job.stepping.kind] += _cost(job)
    kinds = [kind for kind, _ in work.most_common()]
    graphs = [replace(by_kind[k], configs=(), graph_of=by_kind[k].configs[0]) for k in kinds]
    late = set(kinds[-num_workers:])
    return [*graphs, *sorted(stacks, key=lambda job: (job.stepping.kind in late, -_cost(job)))]


def longest_first(stacks: Sequence[Job]) -> list[Job]:
    """The order of stacks whose graphs are all there."""
    return sorted(stacks, key=lambda job: -_cost(job))


def _missing(stacks: Sequence[Job]) -> dict[str, Job]:
    """A stack of each kind whose graph is to be compiled, and can be."""
    from vaebench.training.stepping.compiled import problem

    on_cpu = (job for job in stacks if job.stepping.is_compiled and job.device == "cpu")
    compiled = {job.stepping.kind: job for job in on_cpu}
    if not compiled or problem():
        return {}
    return {kind: compiled[kind] for kind in compiled.keys() - graphs_on_disk(compiled)}


def _cost(job: Job) -> int:
    """Decoder evaluations of the whole job, to which its time is about proportional."""
    first = job.configs[0]
    return len(job.configs) * first.evaluations_per_step * first.train.num_steps
