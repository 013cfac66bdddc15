"""Where the seconds go that a compiled training step costs before it can be called.

    python -m benchmarks.ops.compile_time --rounds 3

Each graph is compiled in a process of its own from empty caches, found on disk by another, then
made from the same trace by PyTorch's inductor alone, its caches empty too: that is what took the
time before its C++ was compiled by `training/stepping/compiled/source.py`. In the first process a
second graph follows, which is traced and lowered by code that is imported already. The table has
medians over the rounds, in seconds of the clock.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

import pandas as pd
import torch

from vaebench.config import RunConfig, parse
from vaebench.config.build import load_data
from vaebench.ops.c import library
from vaebench.training.stepping.compiled import compile_graph, source
from vaebench.training.stepping.compiled import library as graphs
from vaebench.training.stepping.compiled.trace import Trace

GRAPHS: dict[str, dict[str, Any]] = {
    "elbo": {"objective": "elbo"},
    "iwae, K=5": {"objective": "iwae", "num_samples": 5},
    "conv": {"objective": "elbo", "model": {"name": "conv", "latent_dim": 8, "widths": [16, 32]}},
}
SECOND = {"objective": "elbo_mc"}
PHASES = {
    "trace": (graphs, "trace_step"),
    "lower": (source, "_lowered"),
    "compile and link": (source, "_build"),
    "load": (graphs, "CompiledGraph"),
}
CHILD = "from benchmarks.ops.compile_time import {0}; {0}({1!r})"


def config_of(settings: dict[str, Any]) -> RunConfig:
    """A run of 64-128-8 on the digits, but for the settings."""
    usual = {
        "likelihood": "bernoulli",
        "data": {"name": "digits", "binarisation": "dynamic"},
        "model": {"latent_dim": 8, "widths": [128]},
        "train": {"batch_size": 64},
    }
    return parse(usual | settings)


@contextmanager
def timed(seconds: dict[str, float]) -> Iterator[None]:
    """Within this context the seconds of each phase are added up."""

    def timing(phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*arguments, **more)
            finally:
                seconds[phase] = seconds.get(phase, 0.0) + time.perf_counter() - start

        return call

    with ExitStack() as stack:
        for phase, (module, name) in PHASES.items():
            function = timing(phase, getattr(module, name))
            stack.enter_context(mock.patch.object(module, name, function))
        yield


def compiled(graph: str) -> None:
    """Compile a graph, or find it on disk, then another; print the seconds of each phase."""
    library()  # the C of this package
    seconds: dict[str, float] = {}
    config = config_of(GRAPHS[graph])
    dataset = load_data(config.data)
    with timed(seconds):
        seconds["in all"] = compile_graph(config, dataset).seconds
    seconds["a second one"] = compile_graph(config_of(SECOND), dataset).seconds
    print(json.dumps(seconds))


def by_inductor(graph: str) -> None:
    """Let PyTorch's inductor make a library of the same trace; print the seconds."""
    library()
    config = config_of(GRAPHS[graph])

    def make(trace: Trace, path: Path) -> NoReturn:
        start = time.perf_counter()
        kept = ("aot_inductor.custom_ops_to_c_shims", "cpp.threads")
        options = {name: source.options()[name] for name in kept}
        with torch.no_grad():
            torch._inductor.aot_compile(trace.graph, tuple(trace.example), options=options)
        print(json.dumps({"by inductor alone": time.perf_counter() - start}))
        sys.exit()

    with mock.patch.object(graphs, "compile_trace", make):
        compile_graph(config, load_data(config.data))


def measure(graph: str) -> dict[str, float]:
    """The seconds of one round, all caches empty at its start."""
    with tempfile.TemporaryDirectory() as folder:
        cold = _in_a_process("compiled", graph, folder)
        disk = _in_a_process("compiled", graph, folder)
    with tempfile.TemporaryDirectory() as folder:
        alone = _in_a_process("by_inductor", graph, folder)
    return cold | {"from disk": disk["in all"]} | alone


def _in_a_process(function: str, graph: str, folder: str) -> dict[str, float]:
    caches = {"XDG_CACHE_HOME": folder, "TORCHINDUCTOR_CACHE_DIR": f"{folder}/inductor"}
    command = [sys.executable, "-W", "ignore", "-c", CHILD.format(function, graph)]
    environment = os.environ | caches | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    seconds: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return seconds


def main() -> None:
    """Measure each graph, by turns, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--graphs", nargs="+", choices=GRAPHS, default=list(GRAPHS))
    options = parser.parse_args()
    rounds = [{name: measure(name) for name in options.graphs} for _ in range(options.rounds)]
    lines = [
        {"graph": name}
        | {
            part: f"{statistics.median(r[name][part] for r in rounds):.3f}"
            for part in rounds[0][name]
        }
        for name in options.graphs
    ]
    print(f"Seconds, {options.rounds} rounds:\n")
    print(pd.DataFrame(lines).to_markdown(index=False, disable_numparse=True))


if __name__ == "__main__":
    main()
