"""Does recorded runs again, from the configuration in their record alone."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vaebench import results
from vaebench.config import RunConfig
from vaebench.config.resolve import resolve
from vaebench.core.errors import InputError
from vaebench.core.plugins import load_plugins
from vaebench.results import Record
from vaebench.running.harness import run_all
from vaebench.running.recording import config_of
from vaebench.training.stepping.ways import STEP, taken


def command(folder: Path, record: Record) -> str:
    """The command that does a run again, alone and in a folder of its own; "" where none can."""
    if not config_of(record):
        return ""
    name = shlex.quote(str(folder))
    out = shlex.quote(str(folder.with_name(f"{folder.resolve().name}-{record.run}")))
    plugin = " --plugin FILE.py" if record.config.get("plugin") else ""
    return f"vaebench runs {name} run={record.run} --retry --out {out}{plugin}"


def retry(
    folder: Path, runs: Sequence[str], out: Path, *, plugins: Sequence[str] = (), **how: Any
) -> dict[str, results.Status]:
    """Do runs of a folder again, and record them in `out`, which may be the same folder.

    They take their steps as they did, compiled or eager, which rounds otherwise: another folder
    has no records that say so. `how` are arguments of `run_all`. Returns how each ended. Raises
    InputError, before any is done, where a run would no longer be the same, or is of a model from
    elsewhere.
    """
    load_plugins(plugins)
    alike: dict[tuple[str, str], list[RunConfig]] = {}
    for run in runs:
        record = results.read(folder, run)
        compiles = "auto" if out.resolve() == folder.resolve() else _compiles(record)
        alike.setdefault((record.study, compiles), []).append(_same(record))
    ended: dict[str, results.Status] = {}
    for (study, compiles), configs in alike.items():
        ended |= run_all(
            configs, out, study, plugins=plugins, compiles=compiles, timings=False, **how
        )
    return ended


def _compiles(record: Record) -> str:
    """The name of `choosing.COMPILE` that leads to steps as a run's were; where its record does not
    say, as of one that failed before the first, they are chosen."""
    if STEP not in record.operations:
        return "auto"
    return "never" if taken(record.operations[STEP]) == "eager" else "always"


def _same(record: Record) -> RunConfig:
    """The configuration of a run, whose id must still be the run's. Raises InputError."""
    config = config_of(record)
    if config is None:
        raise InputError(
            f"run {record.run} ({record.labels.variant}) is of a model from elsewhere: grade it by "
            f"`vaebench evaluate FILE.py`"
        )
    try:
        (resolved,) = resolve([config])
    except InputError as error:
        if not config.plugin:
            raise
        raise InputError(
            f"run {record.run} was made with plugins, which must be given again by --plugin "
            f"FILE.py: {error}"
        ) from error
    if resolved.id != record.run:
        raise InputError(
            f"run {record.run} ({record.labels.variant}) would not be the same: its data, plugin "
            f"files or the protocol of training have changed since: run its study again"
        )
    return resolved
