"""The main job: configurations -> stacks -> an executor -> records -> one quiet timing pass."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from vaebench import results
from vaebench.config import RunConfig, functions_of
from vaebench.config.build import build_stack, load_data
from vaebench.config.study import expand, read, resolve
from vaebench.core.errors import InputError
from vaebench.core.plugins import known_to_workers, load_plugins
from vaebench.core.sources import check_unchanged
from vaebench.models import weights
from vaebench.running.environment import default_device, describe
from vaebench.running.executors import EXECUTORS
from vaebench.running.job import SETTLED, Job, OnSteps, record_failure
from vaebench.running.plan import DEFAULT_SIZE, StackPlan, num_cores, plan
from vaebench.running.timing import timing_pass
from vaebench.training.stepping.auto import COMPILE

if TYPE_CHECKING:
    import pandas as pd

SMALL_FILES = 1 << 15
"""Bytes of a run's record, its images and what its figures are means of, where these are small."""


@dataclasses.dataclass(frozen=True)
class Meter:
    """Who is told of work as it is done."""

    on_steps: OnSteps
    on_runs: Callable[[str], None]
    """Called as a stack ends, with what has become of the study's runs so far."""


Progress = Callable[[str, int], AbstractContextManager[Meter]]
"""(what is done, its number of steps) -> a context that is told of the work as it is done."""


@contextmanager
def silent(what: str, total: int) -> Iterator[Meter]:
    """Progress that shows nothing."""
    yield Meter(lambda steps: None, lambda words: None)


def run(
    study_or_configs: str | Path | Sequence[RunConfig],
    out: str | Path,
    *,
    executor: str = "local",
    workers: int | None = None,
    plugins: Sequence[str] = (),
    compiles: str = "auto",
    timings: bool = True,
) -> pd.DataFrame:
    """Run a study file, or a list of configurations, and return the rows of the results folder.

    Runs that `out` already holds are not run again. Raises InputError for anything that could not
    start; a run that diverges or fails is a row with its reason.
    """
    load_plugins(plugins)
    for file in plugins:
        check_unchanged(file)
    if isinstance(study_or_configs, (str, Path)):
        study = read(Path(study_or_configs))
        name, configs = study.name, expand(study)
    else:
        name, configs = "configs", resolve(study_or_configs)
    folder = Path(out)
    run_all(
        configs,
        folder,
        name,
        executor=executor,
        workers=workers,
        plugins=plugins,
        compiles=compiles,
        timings=timings,
    )
    return results.load(folder)


def run_all(
    configs: Sequence[RunConfig],
    out: Path,
    study: str,
    *,
    executor: str = "local",
    workers: int | None = None,
    plugins: Sequence[str] = (),
    compiles: str = "auto",
    timings: bool = True,
    progress: Progress = silent,
) -> dict[str, results.Status]:
    """Train and time a study while nothing else is at work in the folder: see `train_all`.

    Raises InputError where something is.
    """
    _check(configs, executor, workers, plugins, compiles)  # else there would be an empty folder
    results.prepare(out)
    with results.alone(out):
        ended = train_all(
            configs,
            out,
            study,
            executor=executor,
            workers=workers,
            plugins=plugins,
            compiles=compiles,
            progress=progress,
        )
        if timings:
            time_all(configs, out, study, progress=progress)
    return ended


def train_all(
    configs: Sequence[RunConfig],
    out: Path,
    study: str,
    *,
    executor: str = "local",
    workers: int | None = None,
    plugins: Sequence[str] = (),
    compiles: str = "auto",
    progress: Progress = silent,
) -> dict[str, results.Status]:
    """Do the runs that are not recorded yet. Returns how each of the study's runs ended.

    A failed run counts as not recorded: what stopped it may be mended. The caller holds the
    folder, by `results.alone`, where others may come to it.
    """
    _check(configs, executor, workers, plugins, compiles)
    results.prepare(out)
    ended = results.recorded(out)
    settled = {c.id: ended[c.id] for c in configs if ended.get(c.id) in SETTLED}
    pending = [c for c in configs if c.id not in settled]
    if not pending:
        return settled
    results.check_room(out, _num_bytes(pending))
    with _accounted(configs, out):
        device = default_device()
        at_once = 1 if executor == "inline" else workers or num_cores()
        chosen = plan(pending, at_once, device)
        files = tuple(str(Path(p).resolve()) for p in plugins)
        jobs = _jobs(chosen, out, study, files, str(device), compiles)
        num_steps = sum(config.train.num_steps for config in pending)
        with progress(f"training {len(pending)} runs: {chosen}", num_steps) as meter:
            for job in EXECUTORS[executor].perform(jobs, chosen.num_workers, meter.on_steps):
                settled |= _ends(job.configs, out)
                meter.on_runs(_counted(settled, len(configs)))
        for job in jobs:
            _miss_none(job)
    return _ends(configs, out)


def time_all(
    configs: Sequence[RunConfig], out: Path, study: str, *, progress: Progress = silent
) -> None:
    """Time every variant none of whose runs failed, unless the folder has the timings of just
    these from this machine. All its runs are in the stack that is timed, diverged or not."""
    ended, device = results.recorded(out), str(default_device())
    variants = [v for v in _variants(configs) if all(ended.get(c.id) != "failed" for c in v)]
    timed = [(r.config["runs"], r.environment) for r in results.timings(out)]
    if timed != [([c.id for c in variant], describe(device)) for variant in variants]:
        with _accounted(configs, out), progress(f"timing {len(variants)} variants", 0):
            records = timing_pass(variants, study, device)
        results.write_timings(out, records)


def _check(
    configs: Sequence[RunConfig],
    executor: str,
    workers: int | None,
    plugins: Sequence[str],
    compiles: str,
) -> None:
    """Raises InputError for what is refused before anything is trained."""
    EXECUTORS[executor]
    COMPILE[compiles]
    if workers is not None and workers < 1:
        raise InputError(f"there must be at least one worker; got {workers}")
    if executor != "inline":
        _check_importable(configs, plugins)


def _num_bytes(configs: Sequence[RunConfig]) -> int:
    """What the files of these runs will take, at least: their weights, and a few small ones."""
    first_of = {config.stack_key: config for config in configs}
    of_kind = {key: _num_bytes_of_weights(config) for key, config in first_of.items()}
    return sum(of_kind[config.stack_key] + SMALL_FILES for config in configs)


def _num_bytes_of_weights(config: RunConfig) -> int:
    """0 where they are not known: plugins are left to workers, and so is what cannot be built."""
    if config.plugin:
        return 0
    try:
        dataset = load_data(config.data)
        return len(weights(build_stack([config], dataset.image_shape, dataset.log_volume)))
    except Exception:
        return 0


def _ends(configs: Sequence[RunConfig], out: Path) -> dict[str, results.Status]:
    """How these runs ended, those that are recorded."""
    each = {config.id: results.status(out, config.id) for config in configs}
    return {run: status for run, status in each.items() if status is not None}


def _counted(ended: Mapping[str, results.Status], num_runs: int) -> str:
    """How many runs ended how, in words."""
    counts = Counter(ended.values())
    rest = "".join(f", {counts[s]} {s}" for s in ("diverged", "failed") if counts[s])
    return f"{counts['done']} of {num_runs} runs done{rest}"


@contextmanager
def _accounted(configs: Sequence[RunConfig], out: Path) -> Iterator[None]:
    """What interrupts the runs gets a note that says how many of them are kept."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        kept = sum(status in SETTLED for status in _ends(configs, out).values())
        interrupt.add_note(f"{kept} of {len(configs)} runs are recorded in {out}")
        raise


def _miss_none(job: Job) -> None:
    """A run without a record is one that failed."""
    missing = tuple(c for c in job.configs if results.status(job.out, c.id) is None)
    record_failure(
        dataclasses.replace(job, configs=missing),
        f"its worker ended, and no record of it is in {job.out}: the worker must see that folder",
    )


def _jobs(
    chosen: StackPlan, out: Path, study: str, plugins: tuple[str, ...], device: str, compiles: str
) -> list[Job]:
    """One job per stack, the longest first, so that no worker is left with it at the end."""
    rest = study, plugins, device, chosen.num_threads, compiles, Path.cwd()
    jobs = [Job(tuple(stack), out.resolve(), *rest) for stack in chosen.stacks]
    return sorted(jobs, key=_cost, reverse=True)


def _cost(job: Job) -> float:
    """Decoder evaluations: what a step's time follows."""
    first = job.configs[0]
    per_step = len(job.configs) * first.num_samples * first.train.batch_size
    return float(per_step * first.train.num_steps)


def _variants(configs: Sequence[RunConfig]) -> list[list[RunConfig]]:
    """The runs that differ in nothing but the seed, at most a stack of each."""
    groups: dict[str, list[RunConfig]] = {}
    for config in configs:
        groups.setdefault(replace(config, seed=0).id, []).append(config)
    return [group[:DEFAULT_SIZE] for group in groups.values()]


def _check_importable(configs: Sequence[RunConfig], plugins: Sequence[str]) -> None:
    """Workers know what the package, its installed plugins and the given files define."""
    for config in configs:
        for function in functions_of(config):
            if not known_to_workers(function.__module__ or "", plugins):
                raise InputError(
                    f"workers cannot see {function.__name__!r}, defined in {function.__module__}: "
                    f"put it in a file given as plugins=[...], or use executor='inline'"
                )
