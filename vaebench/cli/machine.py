"""Commands about this machine: what is installed, and its fused operations, checked and timed."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from vaebench.cli.as_json import print_json
from vaebench.cli.group import main
from vaebench.cli.options import PATH, json_option
from vaebench.cli.show import print_lines, print_table
from vaebench.core.shown import size


@main.command()
@click.option(
    "--prune",
    is_flag=True,
    help="Delete all compiled code, which is made again where it is needed. Data sets stay.",
)
@json_option
def doctor(prune: bool, as_json: bool) -> None:
    """Say what is installed here, and where caches are.

    Compilers, torch, triton and device; whether training steps compile, and why not; how large the
    caches are; where each data set is found. Give it first where something does not work.
    """
    from vaebench.core import cache
    from vaebench.diagnostics.installation import caches, data_sets, installation

    deleted = cache.prune() if prune else 0
    installed = [{"name": name, "value": value} for name, value in installation().items()]
    if as_json:
        print_json(installed=installed, caches=caches(), data=data_sets(), deleted=deleted)
        return
    print_lines(f"{line['name']}: {line['value']}" for line in installed)
    print_table("caches", [_cache_line(line) for line in caches()])
    print_table("data sets", data_sets())
    print_lines([f"deleted: {deleted} files of compiled code"] if prune else [])


def _cache_line(line: dict[str, Any]) -> dict[str, str]:
    """A cache as people read it."""
    most = line["most_bytes"]
    of = "" if most is None else f" of {size(most)}"
    return {
        "what": line["cache"],
        "files": str(line["files"]),
        "size": f"{size(line['bytes'])}{of}",
        "in": line["folder"],
    }


@main.command()
@click.option(
    "--compiled",
    is_flag=True,
    help="Time the same operations by torch.compile too, which takes some minutes more.",
)
@click.option("--out", type=PATH, help="A folder that gets all measurements as rows of JSON.")
@json_option
def kernels(compiled: bool, out: Path | None, as_json: bool) -> None:
    """Check and time the fused operations here.

    Each is held against float64 on this machine before it is timed.
    """
    from vaebench import results
    from vaebench.ops.check import tables
    from vaebench.ops.check.correctness import check_operations
    from vaebench.ops.check.speed import time_operations
    from vaebench.running.environment import default_device

    if out:
        results.writable(out)  # before the work
    device = default_device()
    checks = check_operations(device)
    times = time_operations(device, compiled=compiled)
    on_gpu = device.type == "cuda"
    compiled_kernels, why_not = ([], "") if on_gpu else _compiled_kernels()
    rows = [*checks, *times, *compiled_kernels]
    files = [results.write_rows(out, f"kernels-{device.type}", rows)] if out else []
    if as_json:
        print_json(correctness=checks, speed=times, compiled=compiled_kernels, files=files)
    else:
        print_table(f"correctness of what runs on {device}", tables.correctness_table(checks))
        print_table("speed", tables.speed_table(times))
        print_lines(f"not measured: {reason}" for reason in tables.refusals(times))
        if compiled_kernels:
            title = "compiled for sm_90, float32, bytes per element"
            print_table(title, tables.resource_table(compiled_kernels))
        print_lines([why_not] if why_not else [])
        print_lines([] if on_gpu else ["not measured on a GPU: this machine has none"])
        print_lines(files)
    if any(row["status"] != "passed" for row in checks):
        sys.exit(1)


def _compiled_kernels() -> tuple[list[dict[str, Any]], str]:
    """What each kernel uses, compiled on a machine without a GPU; or why they are not compiled."""
    import importlib.util

    if importlib.util.find_spec("triton") is None or os.environ.get("TRITON_INTERPRET") == "1":
        return [], "the kernels were not compiled: that needs triton, without TRITON_INTERPRET"
    from vaebench.ops.check.resources import compiled_rows

    return [*compiled_rows()], ""
