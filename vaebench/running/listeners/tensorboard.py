"""Learning curves and grades for TensorBoard: `--listen tensorboard:FOLDER`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vaebench.config import RunConfig
from vaebench.core.errors import InputError
from vaebench.results import Record
from vaebench.running.listeners.entry import listener

DEFAULT = "tensorboard"


@listener
class tensorboard:  # noqa: N801 - the name by which --listen chooses it
    """Writes events for TensorBoard, a folder for each run: `tensorboard --logdir FOLDER`."""

    def __init__(self, folder: str) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise InputError(
                "--listen tensorboard needs TensorBoard: install the extra, .[tensorboard]"
            ) from error
        self._open, self._folder = SummaryWriter, Path(folder or DEFAULT)
        if self._folder.exists() and not self._folder.is_dir():
            raise InputError(f"--listen tensorboard needs a folder; {folder} is a file")
        self._writers: dict[str, Any] = {}

    def run_started(self, config: RunConfig) -> None:
        """Open the folder of a run, unless it is open from an earlier try."""
        if config.id not in self._writers:
            name = f"{config.variant} seed {config.seed} {config.id}".replace("/", "_")
            self._writers[config.id] = self._open(str(self._folder / name))

    def curve_point(self, run: str, point: Mapping[str, float]) -> None:
        """Write a point of each curve, at its step."""
        for name, value in point.items():
            if name != "step":
                self._writers[run].add_scalar(f"curves/{name}", value, int(point["step"]))

    def run_recorded(self, record: Record) -> None:
        """Write the grades of a run, at its last step, and how it ended; close its folder."""
        writer = self._writers.pop(record.run, None)
        if writer is None:
            return  # it failed before it was begun
        for metric in record.metrics:
            if metric.value is not None:
                step = record.training.steps if record.training else 0
                writer.add_scalar(f"grades/{metric.metric}", metric.value, step)
        writer.add_text("run", f"{record.status} {record.reason}")
        writer.close()

    def close(self) -> None:
        """Close the folders of runs that were stopped."""
        for writer in self._writers.values():
            writer.close()
        self._writers = {}
