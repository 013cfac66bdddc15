"""What an executor is told of the cluster that it is to use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from vaebench.config.convert import convert
from vaebench.config.toml import toml_value
from vaebench.core.errors import InputError

Count = Annotated[int, Meta(ge=1)]


class Slurm(Struct, frozen=True, forbid_unknown_fields=True):
    """What the jobs of an array are to ask SLURM for, each by the name of its key."""

    partition: str = ""
    """"" for the cluster's default."""
    minutes: Count = 60
    """Minutes that a task of the array may take; what it has not done by then is lost."""
    memory_gb: Annotated[float, Meta(gt=0)] = 4.0
    cores: Count = 1
    gpus: Annotated[int, Meta(ge=0)] = 0
    at_once: Count = 100
    """Tasks of the array that may run at the same time."""
    stacks: Count = 1
    """Stacks in a task of the array: the task stacks their runs anew where it runs."""
    via: Literal["slurm", "local", "debug"] = "slurm"
    """Which executor of submitit's: local and debug take this machine, to try things out."""


class Cluster(Struct, frozen=True):
    """The options of executors beyond this machine."""

    ray_address: str = ""
    """HOST:PORT of a Ray cluster; "" for $RAY_ADDRESS, or the one that runs here."""
    slurm: Slurm = Slurm()
    out: str = ""
    """The results folder, for executors whose tasks write into it."""


NO_CLUSTER = Cluster()
"""No options: for executors on this machine, and what the others do by themselves."""


def cluster(ray_address: str, slurm: Sequence[str]) -> Cluster:
    """The options of a command line: an address, and KEY=VALUE for SLURM. Raises InputError."""
    table: dict[str, Any] = {}
    for setting in slurm:
        key, equals, text = (part.strip() for part in setting.partition("="))
        if not equals:
            raise InputError(f"--slurm needs KEY=VALUE, as in minutes=120; got {setting!r}")
        table[key] = toml_value(text)
    return Cluster(ray_address, convert(table, Slurm))
