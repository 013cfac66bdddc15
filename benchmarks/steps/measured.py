"""The process that `profiles` starts: it trains one stack and reports what its steps took.

Runs against any version of the package from e220ce0 on, so it relies on little of it. Reads one
command a line, `time` or `profile`, and answers each with a line of JSON.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pkgutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from inspect import signature
from typing import Any

import torch
from torch.autograd import profiler
from torch.profiler import ProfilerActivity, profile, record_function

ENDLESS = 10_000_000
NUM_PROBED, NUM_PROBES = 1000, 10
"""Operations by which the cost of an event is found, and how often."""
AT_ONCE = 40
"""Compiled steps that are taken at once, at most, as by a run of 1,600 between points of its curve;
an epoch's end cuts them short."""
NUM_WARM_UP = 2
"""Windows before the first that counts; the first of them compiles."""
NOISE = ("vaebench.ops.noise", "vaebench.noise")
LOOP = ("vaebench.training.loop", "vaebench.train")
DESCENT = ("vaebench.training.descent", "vaebench.optimise", "vaebench.train")
ADAM_IN_C = ("vaebench.ops.c.adam", "vaebench.optimise")
DATA = ("vaebench.config.build", "vaebench.stack")
NATIVE = ("vaebench.ops.c", "vaebench.native")
"""Modules by the name that they have now, then by those that they had."""
MARKED = {"_kept_normals": "noise", "_filled": "noise"}
"""Work that is no operator of PyTorch, so that the profiler does not see it by itself."""


def new_loop(case: dict[str, Any]) -> Iterator[object]:
    """The package's own training loop over S runs: a step for every item that is asked for."""
    from vaebench.config import parse

    load_data = _module(DATA).load_data

    raw = {
        "objective": "elbo",
        "likelihood": "bernoulli",
        "data": {"name": case["data"], "binarisation": "dynamic"},
        "model": {"latent_dim": case["latent"], "widths": [case["hidden"]]},
        "train": {"num_steps": ENDLESS, "batch_size": case["batch"]},
    }
    configs = [parse({**raw, "seed": seed}) for seed in range(case["runs"])]
    dataset = load_data(configs[0].data)
    loop = _module(LOOP)
    build_stack = loop.build_stack
    pixels = list(signature(build_stack).parameters)[1]  # their number before, their shape now
    model = build_stack(configs, getattr(dataset, pixels), dataset.log_volume)
    return iter(
        loop.training_steps(model, configs, dataset, **_compiled() if case["compiled"] else {})
    )


def _compiled() -> dict[str, Any]:
    """Arguments of the loop that the package has now: no code of before is compiled."""
    torch._inductor.config.cpp.enable_kernel_profile = True  # names its kernels to the profiler
    os.environ["TORCHINDUCTOR_CPP_ENABLE_KERNEL_PROFILE"] = "1"  # and is part of a graph's name
    return {
        "make_blocks": pkgutil.resolve_name("vaebench.training.stepping.ways:always")(),
        "at_once": AT_ONCE,
    }


def mark_work() -> None:
    """Give names to what the profiler would not tell apart: minibatches, noise, the optimiser."""
    loop, descent = _module(LOOP), _module(DESCENT)
    loop.batches = _marked_items("minibatch", loop.batches)
    descent.StackAdam.step = _marked("optimiser", descent.StackAdam.step)
    if in_c := getattr(_module(ADAM_IN_C), "MoveInC", None):
        in_c.__call__ = _marked("Adam in C", in_c.__call__)
    if library := _native():
        library.vaebench_block = _marked("block in C", library.vaebench_block)
    for holder, function in noise_makers():
        setattr(holder, function, _marked(MARKED[function], getattr(holder, function)))


def _native() -> Any:
    """The package's functions in C, where it has any."""
    native = _module(NATIVE)
    return native.functions() if native and native.library() else None


def noise_makers() -> Iterator[tuple[Any, str]]:
    """The functions that make random numbers, with the modules in which they are looked up."""
    holders = [_module(NOISE), *filter(None, [_module(["vaebench.ops.c.noise"])])]
    for holder in holders:
        for function in MARKED:
            if hasattr(holder, function):
                yield holder, function


def _module(names: Sequence[str]) -> Any:
    """The first of these modules that the package has; None where it has none."""
    for name in names:
        with contextlib.suppress(ModuleNotFoundError):
            return importlib.import_module(name)
    return None


def _marked(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        with _range(name):
            return function(*arguments, **named)

    return call


def _marked_items(
    name: str, function: Callable[..., Iterator[Any]]
) -> Callable[..., Iterator[Any]]:
    @wraps(function)
    def items(*arguments: Any, **named: Any) -> Iterator[Any]:
        items = iter(function(*arguments, **named))
        while True:
            with _range(name):
                item = next(items)
            yield item

    return items


def _range(name: str) -> contextlib.AbstractContextManager[Any]:
    """A mark costs microseconds, so there is none unless the profiler listens."""
    on = profiler._is_profiler_enabled
    return record_function(name) if on else contextlib.nullcontext()


def timed(loop: Iterator[object], num_steps: int) -> dict[str, Any]:
    """Seconds by the clock and of the process, of a window of steps."""
    wall, cpu = time.perf_counter(), time.process_time()
    while num_steps > 0:  # before there were blocks, an item was a step
        num_steps -= len(getattr(next(loop), "losses", "1"))
    return {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}


def profiled(loop: Iterator[object], num_steps: int) -> dict[str, Any]:
    """The time of a window of steps, and what a profile shows of them.

    By chain of names from the outermost in: [microseconds of its own, events directly below it].
    """
    with _profiler() as profiled_events:
        times = timed(loop, num_steps)
    events = profiled_events.events()
    chains: dict[str, list[float]] = {}
    for event in events:
        chain = chains.setdefault(_chain(event), [0.0, 0])
        chain[0] += event.self_cpu_time_total
        chain[1] += len(event.cpu_children)
    return {**times, "num_events": len(events), "chains": chains}


def event_seconds() -> float:
    """What the profiler adds for each event: the least with it minus the least without."""
    one = torch.ones(1)

    def probe() -> float:
        start = time.perf_counter()
        for _ in range(NUM_PROBED):
            torch.neg(one)
        return time.perf_counter() - start

    plain = min(probe() for _ in range(NUM_PROBES))
    with _profiler():
        with_profiler = min(probe() for _ in range(NUM_PROBES))
    return max(0.0, with_profiler - plain) / NUM_PROBED


def _profiler() -> profile:
    return profile(activities=[ProfilerActivity.CPU], acc_events=True)


def _chain(event: Any) -> str:
    names = []
    while event is not None:
        names.append(event.name)
        event = event.cpu_parent
    return " | ".join(reversed(names))


def main() -> None:
    case = json.loads(sys.argv[1])
    torch.set_num_threads(1)
    mark_work()
    loop = new_loop(case)
    for _ in range(NUM_WARM_UP):
        timed(loop, case["steps"])
    start = {"event_s": event_seconds(), "package": pkgutil.resolve_name("vaebench").__file__}
    print(json.dumps(start), flush=True)
    for command in sys.stdin:
        measure = {"time": timed, "profile": profiled}[command.strip()]
        print(json.dumps(measure(loop, case["steps"])), flush=True)


if __name__ == "__main__":
    main()
