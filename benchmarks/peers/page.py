"""The race as one page of Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from benchmarks.peers.entries import REFERENCE, SIZES
from benchmarks.peers.race import STANDARD_ERRORS, Result
from benchmarks.peers.report import of_size, table, targets
from benchmarks.peers.work import Size

LEGEND = """\
Milliseconds per training step and run: median [20%, 80%] over rounds; ratios are taken within
rounds. `x vaebench`: against its fastest stack of {stack}; `x floor`: against PyTorch's matrix
products of as many runs at once (the target is against the faster of both floors). CPU/wall: before
each was bound to one core (above 1.1 would be more than one thread), and in the race. `ELBO_nats`:
held out, after {steps} steps, mean ± standard error (runs); to be timed, it must be within
{errors:g} standard errors + {tolerance} nats of {reference}'s. Images: {data}."""


def page(results: Sequence[Result], environment: Mapping[str, str]) -> str:
    """Tables of all sizes, targets and environment."""
    return "\n\n".join(_parts(results, environment)) + "\n"


def _parts(results: Sequence[Result], environment: Mapping[str, str]) -> Iterator[str]:
    for size in SIZES:
        if here := of_size(results, size):
            yield f"## {size.label}"
            yield _markdown(table(results, size))
            yield _legend(size, here[0])
    table_of_targets = targets(results)
    if len(table_of_targets):
        yield "## Targets"
        yield _markdown(table_of_targets)
    yield ", ".join(f"{name} {value}" for name, value in environment.items())


def _legend(size: Size, result: Result) -> str:
    if not result.gate_steps:
        return f"{size.dataset} is not there: random images, for time only; no ELBO was compared."
    return LEGEND.format(
        stack=size.stack,
        steps=result.gate_steps,
        errors=STANDARD_ERRORS,
        tolerance=size.tolerance_nats,
        reference=REFERENCE.name,
        data=result.data,
    )


def _markdown(frame: pd.DataFrame) -> str:
    text: str = frame.to_markdown(index=False, disable_numparse=True)
    return text
