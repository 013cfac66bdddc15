"""What is refused before anything is trained, with the reason."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from vaebench import results
from vaebench.config import RunConfig, functions_of
from vaebench.config.build import build_stack, load_data
from vaebench.core import cache
from vaebench.core.arguments import instance, whole
from vaebench.core.errors import InputError, InputWarning
from vaebench.core.plugins import known_to_workers
from vaebench.models import weights
from vaebench.running.choosing import COMPILE
from vaebench.running.cluster import NO_CLUSTER, Cluster
from vaebench.running.executors import EXECUTORS
from vaebench.running.recording import config_of

SMALL_FILES = 1 << 15
"""Bytes beside a run's weights, at the least: record, sample images, values of each example."""


def check(
    configs: Sequence[RunConfig],
    executor: str,
    workers: int | None,
    cluster: Cluster,
    plugins: Sequence[str],
    compiles: str,
) -> None:
    """Raises InputError for what is refused before anything is trained."""
    COMPILE[compiles]
    cache.most_bytes()
    instance("cluster", cluster, Cluster, "Cluster(ray_address=...)")
    if workers is not None:
        whole("workers", workers, least=1)
    _check_options(executor, cluster)
    if executor != "inline":
        _check_importable(configs, plugins)


def _check_options(executor: str, cluster: Cluster) -> None:
    """Raises InputError for an unknown executor, and for an option that is another's."""
    reads = EXECUTORS[executor].reads
    for name in ("ray_address", "slurm"):
        if name not in reads and getattr(cluster, name) != getattr(NO_CLUSTER, name):
            whose = next(other for other, entry in EXECUTORS.items() if name in entry.reads)
            raise InputError(
                f"--{name.replace('_', '-')} is for --executor {whose}; got --executor {executor}: "
                f"leave it out, or choose that executor"
            )


def check_folder(configs: Sequence[RunConfig], out: Path) -> None:
    """Raises InputError where it is no folder, or holds one of these runs as an earlier version
    made it.

    Such a record has the same configuration and another id: its random draws were others, and a
    table of both would have two runs of one seed. A warning where it holds one of them on data of
    the same name and other contents: these are runs of their own, and ranked apart.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"the results folder must be a folder; {out} is a file: choose another")
    ids = {config.id for config in configs}
    if results.recorded(out).keys() <= ids:
        return
    others = (record for record in results.records(out, curves=False) if record.run not in ids)
    known = {record.run: config for record in others if (config := config_of(record))}
    if earlier := [run for run, config in known.items() if config.id in ids]:
        raise InputError(
            f"{out} must hold runs of this version of vaebench alone; {len(earlier)} of this "
            f"study, as {earlier[0]}, are of another, whose numbers for the same settings are "
            f"others (CHANGELOG.md): choose another folder, or move those records away"
        )
    now = {config.data.name: config.data.fingerprint for config in configs}
    if changed := [run for run, config in known.items() if _on(now, config).id in ids]:
        warnings.warn(
            f"{out} holds {len(changed)} runs of this study, as {changed[0]}, on other contents of "
            f"{known[changed[0]].data.name!r}: runs on the data as they are now are others, and "
            f"are ranked apart from these",
            InputWarning,
            stacklevel=3,
        )


def _on(fingerprints: Mapping[str, str], config: RunConfig) -> RunConfig:
    """A configuration on the data of the same name that have these fingerprints."""
    data = replace(
        config.data, fingerprint=fingerprints.get(config.data.name, config.data.fingerprint)
    )
    return replace(config, data=data)


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
        return len(weights(build_stack([config], dataset.image_shape, dataset.log_volume), run=0))
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
