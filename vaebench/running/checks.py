"""What is refused before anything is trained, with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vaebench import results
from vaebench.config import RunConfig, convert, functions_of
from vaebench.config.build import build_stack, load_data
from vaebench.core.errors import InputError
from vaebench.core.plugins import known_to_workers
from vaebench.models import weights
from vaebench.running.choosing import COMPILE
from vaebench.running.executors import EXECUTORS

SMALL_FILES = 1 << 15
"""Bytes beside a run's weights, at the least: record, sample images, values of each example."""


def check(
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


def check_versions(configs: Sequence[RunConfig], out: Path) -> None:
    """Raises InputError where the folder holds one of these runs as an earlier version made it.

    Such a record has the same configuration and another id: its random draws were others, and a
    table of both would have two runs of one seed.
    """
    ids = {config.id for config in configs}
    if results.recorded(out).keys() <= ids:
        return
    others = (record for record in results.records(out) if record.run not in ids)
    earlier = [record.run for record in others if _id_now(record) in ids]
    if earlier:
        raise InputError(
            f"{out} must hold runs of this version of vaebench alone; {len(earlier)} of this "
            f"study, as {earlier[0]}, are of another, whose numbers for the same settings are "
            f"others (CHANGELOG.md): choose another --out, or move those records away"
        )


def _id_now(record: results.Record) -> str:
    """The id that a recorded configuration has in this version; "" where it is none of it."""
    try:
        config: RunConfig = convert(record.config, RunConfig)
    except InputError:
        return ""
    return config.id


def num_bytes(configs: Sequence[RunConfig]) -> int:
    """Bytes on disk that these runs will take at least: their weights, and a few small files."""
    first_of = {config.stack_key: config for config in configs}
    weight_bytes = {key: _num_bytes_of_weights(config) for key, config in first_of.items()}
    return sum(weight_bytes[config.stack_key] + SMALL_FILES for config in configs)


def _num_bytes_of_weights(config: RunConfig) -> int:
    """Bytes of a run's weights; 0 where they are not known.

    Models with plugins are built by workers alone, and what cannot be built is theirs to report.
    """
    if config.plugin:
        return 0
    try:
        dataset = load_data(config.data)
        return len(weights(build_stack([config], dataset.image_shape, dataset.log_volume)))
    except Exception:
        return 0


def _check_importable(configs: Sequence[RunConfig], plugins: Sequence[str]) -> None:
    """Raises InputError for functions that a worker process could not import.

    It can import those of the package, of installed plugins and of the plugin files.
    """
    for function in {function for config in configs for function in functions_of(config)}:
        if not known_to_workers(function.__module__ or "", plugins):
            raise InputError(
                f"workers cannot see {function.__name__!r}, defined in {function.__module__}: "
                f"put it in a file given as plugins=[...], or use executor='inline'"
            )
