"""How many runs to stack, and how many processes and threads to train them in.

All is a function of the runs, of the memory that is free and of the number of workers: no clock is
read, so a busy machine stacks as an idle one does.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from vaebench.config import Choice, RunConfig
from vaebench.running.job import Needs
from vaebench.running.machine import Machine
from vaebench.running.work import step_work

LOG = logging.getLogger("vaebench.running.plan")

DEFAULT_SIZE = 16
"""Most runs in a stack on a CPU: what they share, the dispatch of a step, is little beside what
each takes."""
SIZE_ON_GPU = 256
"""Most runs in a stack on a GPU, where a step of many takes about as long as one of few."""
THREADED_FLOPS = 10**9
"""An eager step of one run with as many operations in its products is faster in more threads, a
smaller one slower: `nox -s compiling` measures it, results/reference/compiling/threads.csv."""
SHARE_OF_MEMORY = 0.5
"""Share of the memory free at the start that all workers together may use."""
NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class StackPlan:
    """The stacks of a study, and the processes and threads that they train in."""

    stacks: list[list[RunConfig]]
    num_workers: int
    num_threads: int = 1

    def needs(self, stack: Sequence[RunConfig], device: str) -> Needs:
        """What a worker needs to train one of the stacks."""
        return Needs(self.num_threads, 0 if device == "cpu" else 1, run_bytes(stack[0]))

    def __str__(self) -> str:
        sizes = sorted(map(len, self.stacks))
        runs = f"{sizes[0]}" if sizes[0] == sizes[-1] else f"{sizes[0]} to {sizes[-1]}"
        return (
            f"stacks: {len(sizes)} (of {runs}), workers: {self.num_workers}, "
            f"threads of each: {self.num_threads}"
        )


def plan(
    configs: Sequence[RunConfig],
    machine: Machine,
    compiled: Mapping[str, str] = NOTHING,
) -> StackPlan:
    """How to train these runs; in stacks of the default size where no step can be counted.

    A step that fails is left to the worker, which records it. `compiled`: the kinds of the graphs
    of stacks whose steps are compiled, by their keys; these take one thread.
    """
    try:
        return _counted(configs, machine, compiled)
    except Exception as error:
        LOG.warning("no step could be counted: %s", error)
        default = stacks(configs)
        return StackPlan(default, min(machine.num_workers, len(default)))


def _counted(
    configs: Sequence[RunConfig], machine: Machine, compiled: Mapping[str, str]
) -> StackPlan:
    """Stacks that fit memory; where workers would be idle, smaller ones, then more threads."""
    num_workers, on_cpu = machine.num_workers, machine.device.type == "cpu"
    share = SHARE_OF_MEMORY * machine.worker_bytes - _kept_bytes(configs, compiled)
    whole = _sized(configs, share, DEFAULT_SIZE if on_cpu else SIZE_ON_GPU)
    parts = _split(whole, num_workers)
    is_threaded = on_cpu and all(
        c.stack_key not in compiled and step_work(c).flops >= THREADED_FLOPS for c in configs
    )
    idle = max(1, min(num_workers, machine.cores) // len(parts)) if is_threaded else 1
    return StackPlan(parts, min(num_workers, len(parts)), idle)


def run_bytes(config: RunConfig) -> int:
    """Bytes of memory that a run takes; 0 where they cannot be counted."""
    try:
        return step_work(config).num_bytes
    except Exception:
        return 0


def stacks(configs: Iterable[RunConfig], max_size: int = DEFAULT_SIZE) -> list[list[RunConfig]]:
    """The runs that can train side by side, in groups of nearly equal size."""
    return [part for group in _groups(configs) for part in _evenly(group, max_size)]


def _groups(configs: Iterable[RunConfig]) -> list[list[RunConfig]]:
    """Runs by stack key, sorted so that Adam can update neighbours with equal settings together."""
    groups: dict[str, list[RunConfig]] = {}
    for config in configs:
        groups.setdefault(config.stack_key, []).append(config)
    return [sorted(group, key=_adam) for group in groups.values()]


def _adam(config: RunConfig) -> tuple[str, float, float, float, float, float, float]:
    train = config.train
    rate, schedule = train.learning_rate, ""
    if isinstance(rate, Choice):
        rate, schedule = 0.0, str(rate)
    return schedule, rate, train.weight_decay, train.beta1, train.beta2, train.epsilon, train.ema


def _kept_bytes(configs: Sequence[RunConfig], compiled: Mapping[str, str]) -> int:
    """What a worker keeps between stacks: each graph that it calls, the tensors of a run's step."""
    of_kind: dict[str, int] = {}
    for config in configs:
        if kind := compiled.get(config.stack_key):
            of_kind[kind] = max(of_kind.get(kind, 0), step_work(config).step_bytes)
    return sum(of_kind.values())


def _sized(configs: Sequence[RunConfig], share: float, max_size: int) -> list[list[RunConfig]]:
    """Stacks of the largest size, or as many runs as fit into a worker's share of the memory, each
    taken for the one of its group that holds most."""

    def fitting(group: Sequence[RunConfig]) -> int:
        most = max(step_work(config).num_bytes for config in group)
        return max(1, min(max_size, int(share / most)))

    return [part for group in _groups(configs) for part in _evenly(group, fitting(group))]


def _evenly(group: list[RunConfig], max_size: int) -> Iterator[list[RunConfig]]:
    num_parts = -(-len(group) // max_size)
    ends = [len(group) * i // num_parts for i in range(num_parts + 1)]
    for start, end in itertools.pairwise(ends):
        yield group[start:end]


def _split(whole: list[list[RunConfig]], num_parts: int) -> list[list[RunConfig]]:
    """Halve the largest stack until there are `num_parts`, or only single runs are left."""
    parts = sorted(whole, key=len)
    while len(parts) < num_parts and len(parts[-1]) > 1:
        largest = parts.pop()
        parts = sorted([*parts, *_evenly(largest, -(-len(largest) // 2))], key=len)
    return parts
