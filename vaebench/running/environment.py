"""Versions and hardware that a run's numbers were made with, for the records."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
from pathlib import Path

import torch

from vaebench.ops import c


@functools.cache
def describe(device: str) -> dict[str, str]:
    """Versions of packages, the processor, whether its native code was built, and the device."""
    versions = {name: _version(name) for name in ("vaebench", "torch", "triton", "numpy")}
    return {
        **versions,
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
        "processor": _processor(),
        "native": f"no: {c.problem()}" if c.problem() else "yes",
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else device,
    }


def default_device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def visible_gpus() -> list[str]:
    """The GPUs of this process, each as CUDA_VISIBLE_DEVICES names it."""
    count = torch.cuda.device_count()
    if names := os.environ.get("CUDA_VISIBLE_DEVICES", ""):
        return [name.strip() for name in names.split(",")][:count]
    return [str(index) for index in range(count)]


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), "")
