"""The race as pages of Markdown, one for each part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from benchmarks.peers import entries
from benchmarks.peers.entries import SIZES
from benchmarks.peers.race import STANDARD_ERRORS, Result
from benchmarks.peers.report import of_size, table, targets
from benchmarks.peers.shapes.sizes import MODULES, SHAPES
from benchmarks.peers.studies import report as studies
from benchmarks.peers.studies.laps import Lap
from benchmarks.peers.work import Size

RATIOS = """\
Milliseconds per training step and run: median [20%, 80%] over rounds; ratios are taken within
rounds. `x vaebench`: against its fastest stack of {stack}."""
FLOOR = """\
`x floor`: against PyTorch's matrix products of as many runs at once (the target is against the
faster of both floors)."""
LOAD = """\
CPU/wall: before each was bound to one core (above 1.1 would be more than one thread), and in the
race."""
GATE = """\
`ELBO_nats`: held out, after {steps} steps, mean ± standard error (runs); to be timed, it must be
within {errors:g} standard errors + {tolerance} nats of {reference}'s."""
CHECK = """\
Loss and gradient norm, in nats, at weights and noise that all share: to be timed, both must be
within {tolerance:g} of {reference}'s, relative."""
RANDOM = "{dataset} is not there: random images, for time only."


def steps_page(results: Sequence[Result]) -> Iterator[str]:
    """Tables of all sizes, and targets."""
    yield from _sizes_page(results, SIZES)


def shapes_page(results: Sequence[Result]) -> Iterator[str]:
    """Tables of the other shapes, and targets."""
    yield from _sizes_page(results, (*SHAPES, *MODULES))


def studies_page(laps: Sequence[Lap]) -> Iterator[str]:
    """Table of whole studies, and targets."""
    yield "## Whole studies"
    yield markdown(studies.table(laps))
    yield studies.legend(laps)
    yield from _targets(studies.targets(laps))


def environment_line(environment: Mapping[str, str]) -> str:
    """Machine and versions of a part."""
    return ", ".join(f"{name} {value}" for name, value in environment.items())


def _sizes_page(results: Sequence[Result], sizes: Sequence[Size]) -> Iterator[str]:
    for size in sizes:
        if here := of_size(results, size):
            yield f"## {size.label}"
            yield markdown(table(results, size))
            yield "\n".join(_legend(size, here))
    yield from _targets(targets(results, sizes))


def _targets(frame: pd.DataFrame) -> Iterator[str]:
    if len(frame):
        yield "### Targets"
        yield markdown(frame)


def _legend(size: Size, results: Sequence[Result]) -> Iterator[str]:
    first = results[0]
    yield RATIOS.format(stack=size.stack)
    if any(r.peer == entries.FLOOR.name for r in results):
        yield FLOOR
    yield LOAD
    if size.check_tolerance:
        yield CHECK.format(tolerance=size.check_tolerance, reference=entries.EAGER.name)
    if first.data == "random":
        yield RANDOM.format(dataset=size.dataset)
        return
    if first.gate_steps:
        yield GATE.format(
            steps=first.gate_steps,
            errors=STANDARD_ERRORS,
            tolerance=size.tolerance_nats,
            reference=entries.REFERENCE.name,
        )
    yield f"Images: {first.data}."


def markdown(frame: pd.DataFrame) -> str:
    """A table in which every value stands as it is."""
    text: str = frame.to_markdown(index=False, disable_numparse=True)
    return text
