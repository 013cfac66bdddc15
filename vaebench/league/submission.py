"""What a bundle was opened to, and whether its records follow from what they are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from vaebench import results
from vaebench.config import RunConfig
from vaebench.config.run_config import PROTOCOL
from vaebench.core.errors import InputError, StorageError
from vaebench.core.memory import within_memory
from vaebench.league.manifest import Manifest, manifest_of, runs_in
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.report.pairs import kept_values
from vaebench.report.standings import RANKED_BY, Run, ranked
from vaebench.results import Labels, Record
from vaebench.running.recording import config_of, labels, protocol_of

AS_SUBMITTED = "as submitted"


class RefusedError(InputError):
    """A bundle that is refused; the message begins with its name."""


@dataclass(frozen=True)
class Submission:
    """A bundle whose members have been checked."""

    path: Path
    folder: Path
    """The results folder that its members lie in."""
    manifest: Manifest
    records: Sequence[Record]
    timings: Sequence[Record] = ()
    graded: str = AS_SUBMITTED
    """Whether its figures were made again from its weights, in words."""
    reason: str = ""
    """Why not."""

    @property
    def name(self) -> str:
        """What the league calls it."""
        return self.manifest.name

    @property
    def num_lost(self) -> int:
        """How many of its runs diverged or failed."""
        return sum(record.status != "done" for record in self.records)

    def weights_of(self) -> frozenset[str]:
        """The runs of which it has weights, by their ids."""
        return frozenset(runs_in(self.manifest.members, "weights"))

    def examples(self, run: str) -> Mapping[str, NDArray[Any]]:
        """What the figure that ranks a run is the mean of, as `results.examples`.

        Raises InputError where the file is damaged.
        """
        try:
            values = results.examples(self.folder, run)
        except (InputError, MemoryError):
            raise
        except Exception as error:  # numpy has no list of what a damaged file makes it raise
            raise InputError(f"the examples of run {run} are damaged: {error!r:.80}") from error
        return {name: values[name] for name in (RANKED_BY,) if name in values}


@contextmanager
def naming(path: Path, folder: Path) -> Iterator[None]:
    """Turn an InputError within into a RefusedError that begins with the bundle's name.

    Paths in the folder that it is unpacked to are told as its members.
    """
    try:
        with within_memory("a bundle must fit into memory: leave it out"):
            yield
    except StorageError:
        raise  # the fault of the disk, and of no bundle
    except InputError as error:
        raise RefusedError(f"{path}: {str(error).replace(f'{folder}/', '')}") from error


def check(submission: Submission) -> None:
    """Raises InputError where records, weights, examples or manifest do not belong together."""
    manifest, records = submission.manifest, submission.records
    if not records:
        raise InputError("a bundle must hold runs; it has none")
    for record in records:
        check_record(record)
    said = manifest_of(manifest.name, records, manifest.members, manifest.plugins)
    if said != manifest:
        raise InputError("its manifest must say what its records say; it says otherwise")
    weights = submission.weights_of()
    for record in records:
        if record.run in weights:
            results.read_weights(submission.folder, record)
        _check_examples(submission, record)
    for part in ("weights", "examples"):
        known = {record.run for record in records}
        if alone := [run for run in runs_in(manifest.members, part) if run not in known]:
            raise InputError(f"{part} must be of a run that it has; those of {alone[0]} are not")
    for _ in ranked(results.frame(records, {RANKED_BY})):
        pass  # which raises where two runs are of one line and seed


def check_record(record: Record) -> None:
    """Raises InputError where a record's id or labels do not follow from its configuration.

    Those of other protocols, which share no division with these, are taken as they are.
    """
    config = config_of(record)
    if config is None:
        raise InputError(
            f"run {record.run} must have a configuration that this version knows; it has another: "
            f"make the bundle again with this one"
        )
    try:
        msgspec.msgpack.encode(record.config)
    except OverflowError as error:
        raise InputError(
            f"run {record.run} must be configured with numbers that a table can hold: {error}"
        ) from error
    fingerprint = config.data.fingerprint
    if not fingerprint or fingerprint[:8] not in record.labels.observation_space.split("/"):
        raise InputError(f"run {record.run} must be of its data; its observation space is not")
    if protocol_of(record) != PROTOCOL:
        return
    if config.id != record.run:
        raise InputError(
            f"run {record.run} must be of its configuration, which gives {config.id}: it was "
            f"changed, or made by another version"
        )
    if _expected(record, config) != record.labels:
        raise InputError(
            f"run {record.run} must have the labels of its configuration; it was changed, or made "
            f"by another version"
        )


def _expected(record: Record, config: RunConfig) -> Labels:
    """The labels that follow from a configuration; where a plugin's entries have part in it, those
    that can be told without them, and else the record's own."""
    if not config.plugin:
        return labels(config, config.seed)
    known = {"observation_space": config.observation_space} if _is_known(config) else {}
    return msgspec.structs.replace(
        record.labels,
        dataset=config.data.label,
        objective=config.objective.name,
        num_samples=config.num_samples,
        seed=config.seed,
        **known,
    )


def _is_known(config: RunConfig) -> bool:
    """Whether what the likelihood measures is known here."""
    return config.likelihood.name in LIKELIHOODS


def _check_examples(submission: Submission, record: Record) -> None:
    """Raises InputError where what the figure that ranks is the mean of has another mean."""
    value = next((m.value for m in record.metrics if m.metric == RANKED_BY), None)
    examples = submission.examples(record.run)
    if not all(map(_are_numbers, examples.values())):
        raise InputError(f"examples of run {record.run} must be a number for each; they are not")
    if value is not None:
        kept_values(Run(record.run, value, ""), RANKED_BY, lambda run: examples)


def _are_numbers(values: Any) -> bool:
    """Whether it is an array [N] of floats; numpy gives the bytes of what is no array."""
    return isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind == "f"
