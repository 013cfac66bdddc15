"""Learning curves and grades for trackio's dashboard: `--listen trackio:PROJECT`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from vaebench.config import RunConfig
from vaebench.core.errors import InputError
from vaebench.results import Record
from vaebench.running.listeners.entry import listener

DEFAULT = "vaebench"


@listener
class trackio:  # noqa: N801 - the name by which --listen chooses it
    """Logs to a trackio project on this machine: `trackio show --project PROJECT`."""

    def __init__(self, project: str) -> None:
        try:
            import trackio as package
        except ImportError as error:
            raise InputError(
                "--listen trackio needs trackio: install the extra, .[trackio]"
            ) from error
        self._package, self._project = package, project or DEFAULT
        self._runs: dict[str, Any] = {}

    def run_started(self, config: RunConfig) -> None:
        """Open a run with its configuration, unless it is open from an earlier try."""
        if config.id not in self._runs:
            self._runs[config.id] = self._package.init(
                self._project,
                name=f"{config.variant} seed {config.seed} {config.id}",
                group=config.variant,
                config=msgspec.to_builtins(config),
                resume="allow",
                embed=False,
                auto_log_cpu=False,
                auto_log_gpu=False,
            )

    def curve_point(self, run: str, point: Mapping[str, float]) -> None:
        """Log a point of all curves, at its step."""
        values = {name: value for name, value in point.items() if name != "step"}
        self._runs[run].log(values, step=int(point["step"]))

    def run_recorded(self, record: Record) -> None:
        """Log the grades of a run, and close it."""
        run = self._runs.pop(record.run, None)
        if run is None:
            return  # it failed before it was begun
        grades = {m.metric: m.value for m in record.metrics if m.value is not None}
        run.log({"status": record.status, **grades})
        run.finish()

    def close(self) -> None:
        """Close runs that were stopped."""
        for run in self._runs.values():
            run.finish()
        self._runs = {}
