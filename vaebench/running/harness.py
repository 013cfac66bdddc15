"""A study from start to end: configurations -> stacks -> an executor -> records -> timings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from vaebench import results
from vaebench.config import DataConfig, RunConfig
from vaebench.config.resolve import resolve
from vaebench.config.study import of_data, read
from vaebench.core.arguments import instance, items, path
from vaebench.core.plugins import load_plugins
from vaebench.core.sources import check_unchanged
from vaebench.running.budget import expanded, note
from vaebench.running.checks import check, check_folder, num_bytes
from vaebench.running.cluster import NO_CLUSTER, Cluster
from vaebench.running.coordinate import Account, carry_out
from vaebench.running.environment import default_device, describe
from vaebench.running.executors import EXECUTORS
from vaebench.running.job import SETTLED
from vaebench.running.listeners import NOBODY, Audience, Listener, audience_of
from vaebench.running.meter import Progress, silent
from vaebench.running.prepare import prepared, settled
from vaebench.running.timing import Variant, timing_pass, variants_of
from vaebench.training.stepping.ways import STEP, taken

if TYPE_CHECKING:
    import pandas as pd


def run(
    study_or_configs: str | Path | Sequence[RunConfig],
    out: str | Path,
    *,
    data: DataConfig | None = None,
    executor: str = "local",
    workers: int | None = None,
    cluster: Cluster = NO_CLUSTER,
    plugins: Sequence[str] = (),
    compiles: str = "auto",
    timings: bool = True,
    listeners: Sequence[Listener] = (),
) -> pd.DataFrame:
    """Run a study file, or a list of configurations, and return the rows of the results folder.

    `data` takes the place of the study's own, as arrays do: see `vb.dataset`. `listeners` are told
    what happens to each run: see `vb.listener`.

    Runs that `out` already holds are not run again. Raises InputError for anything that could not
    start; a run that diverges or fails is a row with its reason.
    """
    plugins = load_plugins(plugins)
    for file in plugins:
        check_unchanged(file)
    folder, study = path("out", out), None
    instance("timings", timings, bool, "True or False")
    if data is not None:
        instance("data", data, DataConfig, "vb.dataset(x_train, x_test)")
    followers: list[Listener] = items("listeners", listeners, (Listener,), "[listener]")
    if isinstance(study_or_configs, (str, Path)):
        study = of_data(read(Path(study_or_configs)), data)
        name, configs = study.name, expanded(study)
    else:
        replaced = {} if data is None else {"data": data}
        write = "'study.toml', or [vb.RunConfig(...)]"
        chosen: list[RunConfig] = items("what is run", study_or_configs, RunConfig, write)
        name, configs = "configs", resolve([replace(c, **replaced) for c in chosen])
    with audience_of(followers) as audience:
        run_all(
            configs,
            folder,
            name,
            executor=executor,
            workers=workers,
            cluster=cluster,
            plugins=plugins,
            compiles=compiles,
            timings=timings,
            audience=audience,
        )
    if study is not None:
        note(folder, study, configs)
    return results.load(folder)


def run_all(
    configs: Sequence[RunConfig],
    out: Path,
    study: str,
    *,
    executor: str = "local",
    workers: int | None = None,
    cluster: Cluster = NO_CLUSTER,
    plugins: Sequence[str] = (),
    compiles: str = "auto",
    timings: bool = True,
    progress: Progress = silent,
    audience: Audience = NOBODY,
) -> dict[str, results.Status]:
    """Train and time a study, as the only process that writes to the folder: see `train_all`.

    Raises InputError where another one is at work there.
    """
    # Before there is a folder, which would be empty.
    check(configs, executor, workers, cluster, plugins, compiles)
    results.prepare(out)
    check_folder(configs, out)
    with results.alone(out):
        ended = train_all(
            configs,
            out,
            study,
            executor=executor,
            workers=workers,
            cluster=cluster,
            plugins=plugins,
            compiles=compiles,
            progress=progress,
            audience=audience,
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
    cluster: Cluster = NO_CLUSTER,
    plugins: Sequence[str] = (),
    compiles: str = "auto",
    progress: Progress = silent,
    audience: Audience = NOBODY,
) -> dict[str, results.Status]:
    """Train the runs that are not recorded yet. Returns how each of the study's runs ended.

    `audience`: the listeners that are told of each run. The caller holds the
    folder, by `results.alone`, where others may come to it.
    """
    check(configs, executor, workers, cluster, plugins, compiles)
    results.prepare(out)
    ended = settled(configs, out)
    pending = [config for config in configs if config.id not in ended]
    if not pending:
        return ended
    results.check_room(out, num_bytes(pending))
    with _accounted(configs, out):
        work = prepared(
            configs,
            out,
            study,
            executor=executor,
            workers=workers,
            cluster=cluster,
            plugins=plugins,
            compiles=compiles,
        )
        with progress(str(work), work.num_steps) as meter:
            perform = EXECUTORS[executor].perform
            there = replace(cluster, out=str(out.resolve()))
            account = Account(
                out,
                dict(work.settled),
                meter,
                audience,
                num_runs=len(configs),
                num_graphs=len(work.graphs),
            )
            num_workers = work.chosen.num_workers
            carry_out(work.jobs, lambda waiting: perform(waiting, num_workers, there), account)
    return {config.id: account.ended[config.id] for config in configs}


def time_all(
    configs: Sequence[RunConfig], out: Path, study: str, *, progress: Progress = silent
) -> None:
    """Time the training step of every variant none of whose runs failed.

    Nothing is timed where the folder has the timings of just these variants from this machine. The
    stack that is timed has all runs of a variant, diverged or not; where all of them were trained
    by compiled steps, or CUDA graphs, such steps are timed.
    """
    device = str(default_device())
    records = {record.run: record for record in results.records(out)}
    variants = [
        Variant(runs, _way([records[c.id] for c in runs if c.id in records]))
        for runs in variants_of(configs)
        if not any(c.id in records and records[c.id].status == "failed" for c in runs)
    ]
    wanted = [([c.id for c in v.configs], v.way, describe(device)) for v in variants]
    there = results.timings(out)
    if wanted != [(r.config["runs"], r.config.get("way"), r.environment) for r in there]:
        with _accounted(configs, out), progress(f"timing {len(variants)} variants", 0):
            timed = timing_pass(variants, study, device)
        results.write_timings(out, timed)


def _way(records: Sequence[results.Record]) -> str:
    """The way to take steps, by name, that leads to steps as these runs' were."""
    steps = {taken(record.operations.get(STEP, "eager")) for record in records}
    return "eager" if not steps or "eager" in steps else "compiled"


def _ends(configs: Sequence[RunConfig], out: Path) -> dict[str, results.Status]:
    """The status of each of these runs that is recorded, by id."""
    statuses = {config.id: results.status(out, config.id) for config in configs}
    return {run: status for run, status in statuses.items() if status is not None}


@contextmanager
def _accounted(configs: Sequence[RunConfig], out: Path) -> Iterator[None]:
    """Add a note to an interruption: how many of the runs are recorded."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        kept = sum(status in SETTLED for status in _ends(configs, out).values())
        interrupt.add_note(f"{kept} of {len(configs)} runs are recorded in {out}")
        raise
