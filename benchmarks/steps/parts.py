"""What a profile says of the parts of a training step: pure functions of its chains of names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

PRODUCTS, LIKELIHOOD, LATENT = "matrix products", "likelihood and loss", "latent step and noise"
ACTIVATIONS, ADAM, MINIBATCH = "activations and biases", "Adam", "minibatch"
REST = "Python and dispatch"
PARTS = (PRODUCTS, LIKELIHOOD, LATENT, ACTIVATIONS, ADAM, MINIBATCH)
"""The parts that a profile shows, in the order of tables and figures. REST is what they leave."""

PART_OF = (
    ("minibatch|aten::index_select", MINIBATCH),
    ("optimiser|_fused_adam|block in C$", ADAM),
    (r"addbmm \| aten::(copy_|expand)", ACTIVATIONS),
    (r"aten::(bmm|baddbmm|mm|addmm|matmul)\b|aoti_torch_cpu_product", PRODUCTS),
    ("bernoulli|binary_?cross_?entropy|sigmoid", LIKELIHOOD),
    ("noise|reparameterise|expm1|chunk|split|clone", LATENT),
    ("relu|threshold|baddbmm|fused_sum", ACTIVATIONS),
    (r"aten::(sum|mean|neg|add|sub|mul|div|ones_like)\b", LIKELIHOOD),
)
"""The first pattern that is found in a chain names its part; in no part are views and the like.

Inductor's kernels are named after the operations that they do: the one that holds the likelihood
also adds the last layer's bias. What ops/c/block.c does itself is Adam for the most part, beside
the minibatch and the tensors that it hands over."""

DISPATCH = re.compile(r"^(autograd::|torch::autograd|Optimizer|optimiser$)|Backward\d$")
"""Names whose own time is dispatch: the way to other operations."""


@dataclass(frozen=True)
class Window:
    """Some steps of a stack of S runs, with the profiler on."""

    cpu_s: float
    wall_s: float
    num_events: int
    chains: Mapping[str, Sequence[float]]
    """Names from the outermost in, by " | " -> microseconds of its own, events directly below."""


def part_of(chain: str) -> str:
    """The part to which the own time of the last name of a chain belongs."""
    if DISPATCH.search(chain.rpartition(" | ")[2]):
        return REST
    parts = (part for pattern, part in PART_OF if re.search(pattern, chain, re.IGNORECASE))
    return next(parts, REST)


def parts_s(window: Window, plain_s: float, event_s: float) -> dict[str, float]:
    """Seconds of each of PARTS in as many steps without the profiler, which take `plain_s`.

    The profiler adds `event_s` for each event, before its start and after its end, so to the own
    time of the event around it: that is taken off. What is left of the window is scaled to the
    plain time, all of it alike.
    """
    scale = plain_s / (window.wall_s - event_s * window.num_events)
    seconds = dict.fromkeys(PARTS, 0.0)
    for chain, (own_us, num_below) in window.chains.items():
        part = part_of(chain)
        if part != REST:
            seconds[part] += scale * max(0.0, 1e-6 * own_us - event_s * num_below)
    return seconds


KEYS = ["size", "images", "runs", "variant"]


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of rounds -> a line per size, stack and variant: medians, in ms per step and run.

    REST is the median total minus the medians of the parts.
    """
    grouped = rows.groupby(KEYS, sort=False)  # as they were listed, not as the rounds went
    table = grouped[[f"{name}_ms" for name in (*PARTS, "total", "wall")]].median()
    table = table.rename(columns={f"{part}_ms": part for part in PARTS})
    table.insert(len(PARTS), REST, table["total_ms"] - table[list(PARTS)].sum(axis=1))
    table["q20_ms"] = grouped["total_ms"].quantile(0.2)
    table["q80_ms"] = grouped["total_ms"].quantile(0.8)
    return table.reset_index()


def against_first(table: pd.DataFrame) -> pd.Series:
    """How many times faster than the first variant of its size and stack each line is."""
    first = table.groupby(["size", "runs"], sort=False)["total_ms"].transform("first")
    return first / table["total_ms"]


def markdown(table: pd.DataFrame) -> str:
    """A section for each size: microseconds per step and run."""
    sections = [
        f"## {size}\n\n{_section(part)}\n\nImages: {part['images'].iloc[0]}."
        for size, part in table.groupby("size", sort=False)
    ]
    return "\n\n".join(["Microseconds per training step and run, on one thread.", *sections]) + "\n"


def _section(part: pd.DataFrame) -> str:
    micro = 1e3 * part[[*PARTS, REST, "total_ms", "q20_ms", "q80_ms"]]
    shown = pd.DataFrame({"stack": part["runs"], "variant": part["variant"]})
    for name in (*PARTS, REST):
        shown[name] = [f"{value:.1f}" for value in micro[name]]
    total = zip(micro["total_ms"], micro["q20_ms"], micro["q80_ms"], strict=True)
    shown["total [20%, 80%]"] = [f"{m:.0f} [{low:.0f}, {high:.0f}]" for m, low, high in total]
    shown["speed-up"] = [f"{ratio:.2f}" for ratio in against_first(part)]
    return str(shown.to_markdown(index=False, disable_numparse=True))
