"""Which runs of a study take compiled steps: a function of the study and of what is installed.

No clock is read, so a busy machine chooses as an idle one does. The work of all runs of the study
counts, recorded or not, so that what is added to a folder, or left of it, is chosen alike.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from msgspec.structs import replace

from vaebench.config import RunConfig
from vaebench.config.build import load_data
from vaebench.core.errors import first_line
from vaebench.core.registry import Registry
from vaebench.results import Record
from vaebench.running.plan import DEFAULT_SIZE
from vaebench.running.work import StepWork, step_work
from vaebench.training.kind import step_kind
from vaebench.training.stepping.ways import LIKE, STEP, Stepping, taken

LOG = logging.getLogger("vaebench.running.choosing")

SAVED_PER_STEP = 4.8e-4
SAVED_PER_ELEMENT = 3.1e-10
SAVED_PER_FLOP = 9.2e-12
"""Seconds of one core that a compiled step saves against an eager one: for each step of a stack,
for each number that the operations of a run write, for each operation of its products. Convolutions
that compiled steps leave to PyTorch count by the numbers that they write."""
TAKEN_PER_STEP = 2.0e-5
TAKEN_PER_ELEMENT = 1.5e-10
TAKEN_PER_FLOP = 5.6e-12
"""Seconds of one core that a compiled step takes, counted alike."""
COMPILING_S, LOADING_S = 4.4, 0.03
"""Seconds of one core until a graph can be called: compiled, and found on disk.
`nox -s compiling` measures all eight: results/reference/compiling."""


@dataclass(frozen=True)
class Work:
    """What all runs of a study that take the same kind of step have to do."""

    num_runs: int = 0
    num_steps: int = 0
    """The steps of all runs together; `stack_steps` counts those of stacks of the default size."""
    stack_steps: int = 0
    elements: int = 0
    flops: int = 0
    product_flops: int = 0

    def and_of(self, num_runs: int, num_steps: int, step: StepWork) -> Work:
        """This work with that of more runs, which take so many steps each."""
        return Work(
            self.num_runs + num_runs,
            self.num_steps + num_runs * num_steps,
            self.stack_steps + -(-num_runs // DEFAULT_SIZE) * num_steps,
            self.elements + num_runs * num_steps * step.elements,
            self.flops + num_runs * num_steps * step.flops,
            self.product_flops + num_runs * num_steps * step.product_flops,
        )

    @property
    def saved_s(self) -> float:
        """Seconds of one core that compiled steps save."""
        of_runs = SAVED_PER_ELEMENT * self.elements + SAVED_PER_FLOP * self.product_flops
        return SAVED_PER_STEP * self.stack_steps + of_runs

    @property
    def compiled_s(self) -> float:
        """Seconds of one core that compiled steps take; eager ones take `saved_s` more."""
        of_runs = TAKEN_PER_ELEMENT * self.elements + TAKEN_PER_FLOP * self.flops
        return TAKEN_PER_STEP * self.stack_steps + of_runs

    def __str__(self) -> str:
        flops, elements = self.flops / self.num_steps, self.elements / self.num_steps
        runs = f"{self.num_runs} run{'s' if self.num_runs > 1 else ''}"
        step = f"{flops / 1e6:.3g} Mflop and {elements:,.0f} elements"
        return f"{runs}, {self.num_steps:,} steps of {step}"


def choose(
    works: Mapping[str, Work],
    num_cores: int,
    on_disk: Collection[str] = (),
) -> dict[str, Stepping]:
    """How the runs of each kind take their steps: all compiled where that saves more than it costs.

    All in one way, for the times of the variants of a study are to be compared. While a graph is
    compiled, the cores for which the study has no other graph wait.
    """
    num_busy = min(num_cores, sum(work.num_runs for work in works.values()))
    compiling_s = COMPILING_S * max(1.0, num_busy / max(1, len(works)))
    cost_s = sum(LOADING_S if kind in on_disk else compiling_s for kind in works)
    saved_s = sum(work.saved_s for work in works.values())
    way = _TRIED["compiled" if saved_s > cost_s else "eager"]
    graphs = f"{len(works)} graph{'s' if len(works) > 1 else ''}"
    why = f"compiled steps save the study {saved_s:.3g} s, and its {graphs} cost {cost_s:.3g} s"
    return {kind: Stepping(way, f"{work}: {why}", kind) for kind, work in works.items()}


_TRIED = {"compiled": "compiled or eager", "eager": "eager"}
"""By the way that a record names, the way that is tried."""


@dataclass(frozen=True)
class Study:
    """What a choice is made for: all runs of a study, and where they are to be trained."""

    configs: Sequence[RunConfig]
    device: torch.device
    num_cores: int
    times: float = 1.0
    """How often the folder will have seen as many runs: a sweep has its batches one by one."""
    counts_disk: bool = True
    """Whether a graph on disk costs less than one that is still to be compiled; where it does not,
    the choice is the same for whoever makes it."""


def auto(study: Study, records: Iterable[Record]) -> dict[str, Stepping]:
    """The way of recorded runs with the same stack key; else compiled where the work pays for it.

    On a GPU, one CUDA graph. Where nothing can be compiled, eager, which the log says once.
    """
    from vaebench.training.stepping.compiled import problem

    if study.device.type != "cpu":
        return _alike(study, "compiled or eager", "a CUDA graph costs a few steps")
    if reason := problem():
        LOG.warning("training steps are eager: %s", reason)
        return _alike(study, "eager", reason)
    works, recorded = _works(study), _recorded(records)
    kept = graphs_on_disk(works) if study.counts_disk else ()
    chosen = choose(works, study.num_cores, kept)
    steppings = {}
    for key, uncounted in _alike(study, "eager", "none of its steps could be counted").items():
        steppings[key] = chosen.get(uncounted.kind, uncounted)
        way = _TRIED.get(recorded.get(key, ""), steppings[key].way)
        if way != steppings[key].way:
            steppings[key] = Stepping(way, "as the runs like it that are recorded", uncounted.kind)
    return steppings


def always(study: Study, records: Iterable[Record]) -> dict[str, Stepping]:
    """Compiled, whatever that costs; a run whose step cannot be compiled fails."""
    return _alike(study, "compiled", "asked for")


def never(study: Study, records: Iterable[Record]) -> dict[str, Stepping]:
    """Eager."""
    return _alike(study, "eager", "asked for")


COMPILE: Registry[Callable[[Study, Iterable[Record]], dict[str, Stepping]]] = Registry(
    "way to compile"
)
"""What --compile names: (study, records of its folder) -> the way of each stack key."""
COMPILE.add("auto", auto)
COMPILE.add("always", always)
COMPILE.add("never", never)


def in_words(configs: Sequence[RunConfig], steppings: Mapping[str, Stepping]) -> str:
    """How many variants of a study are compiled, and to how many graphs."""
    compiled = [config for config in configs if steppings[config.stack_key].is_compiled]
    kinds = {steppings[config.stack_key].kind for config in compiled}
    graphs = f", to {len(kinds)} graph{'s' if len(kinds) > 1 else ''}" if kinds else ""
    return f"{_num_variants(compiled)} of {_num_variants(configs)} variants are compiled{graphs}"


def explained(configs: Sequence[RunConfig], steppings: Mapping[str, Stepping]) -> list[str]:
    """A line for each kind of step in a study: the way it is taken, why, and by whom."""
    names: dict[Stepping, dict[str, None]] = {}
    for config in configs:
        name = f"{config.variant} ({config.likelihood})"
        names.setdefault(steppings[config.stack_key], {})[name] = None
    return [f"{s.way}: {', '.join(names[s])}: {s.why}" for s in names]


def kinds_of_graphs(steppings: Mapping[str, Stepping]) -> dict[str, str]:
    """The kinds of the graphs that compiled stacks call, by stack key."""
    return {key: stepping.kind for key, stepping in steppings.items() if stepping.is_compiled}


def _num_variants(configs: Sequence[RunConfig]) -> int:
    return len({replace(config, seed=0).id for config in configs})


def _groups(study: Study) -> dict[str, list[RunConfig]]:
    """The runs by stack key."""
    groups: dict[str, list[RunConfig]] = {}
    for config in study.configs:
        groups.setdefault(config.stack_key, []).append(config)
    return groups


def _kind(config: RunConfig) -> str:
    return step_kind(config, load_data(config.data))


def _alike(study: Study, way: str, why: str) -> dict[str, Stepping]:
    return {key: Stepping(way, why, _kind(group[0])) for key, group in _groups(study).items()}


def _works(study: Study) -> dict[str, Work]:
    """The work of each kind; without those of which no step can be taken, as workers will say."""
    works: dict[str, Work] = {}
    for first, *others in _groups(study).values():
        try:
            step = step_work(first)
        except Exception as error:
            LOG.warning("no step of %s could be counted: %s", first.variant, first_line(error))
            continue
        kind, num_runs = _kind(first), round(study.times * (1 + len(others)))
        works[kind] = works.get(kind, Work()).and_of(num_runs, first.train.num_steps, step)
    return works


def graphs_on_disk(kinds: Iterable[str]) -> set[str]:
    """The kinds of which a graph is there that was compiled before."""
    from vaebench.training.stepping.compiled import graph_key, is_on_disk

    return {kind for kind in kinds if is_on_disk(graph_key(kind))}


def _recorded(records: Iterable[Record]) -> dict[str, str]:
    """How recorded runs took their steps, by stack key; the last one counts."""
    kept = [r.operations for r in records if r.operations.keys() >= {LIKE, STEP}]
    return {of[LIKE]: taken(of[STEP]) for of in kept}
