"""The machine that stacks are planned for: the one that runs them, wherever that is."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from vaebench.core.memory import available_bytes
from vaebench.running.environment import default_device, visible_gpus


@dataclass(frozen=True)
class Machine:
    """What workers find where they run; where there are several machines, on the smallest."""

    device: torch.device
    num_workers: int
    """Workers that may be at work at once, on all machines."""
    cores: int
    """Cores of one machine."""
    worker_bytes: float
    """Bytes of memory that are free for each worker: the GPU's, where it has one."""


def this_machine(num_workers: int | None = None) -> Machine:
    """This one, with a worker for each core, or each GPU, unless a number is asked for."""
    device, cores = default_device(), num_cores()
    if device.type == "cpu":
        count = num_workers or cores
        return Machine(device, count, cores, available_bytes(device) / count)
    num_gpus = max(1, len(visible_gpus()))
    return Machine(device, min(num_workers or num_gpus, num_gpus), cores, available_bytes(device))


def num_cores() -> int:
    """How many cores this process may use, or the machine has where the system does not say."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
