"""Commands about this machine: what is installed, and its fused operations, checked and timed."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from vaebench.cli.group import main
from vaebench.cli.options import PATH
from vaebench.cli.show import print_line, print_lines, print_table


@main.command()
@click.option(
    "--prune", is_flag=True, help="Delete all compiled code; what is needed is made again."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(prune: bool, as_json: bool) -> None:
    """Say what is installed, what the cache of compiled code holds, and whether steps compile."""
    from vaebench.core import cache
    from vaebench.diagnostics.installation import installation

    deleted = {"deleted": f"{cache.prune()} files"} if prune else {}
    lines = installation() | deleted
    if as_json:
        print_line(json.dumps(lines))
    else:
        print_lines(f"{name}: {value}" for name, value in lines.items())


@main.command()
@click.option("--compiled", is_flag=True, help="Time torch.compile too; it takes its time.")
@click.option("--out", type=PATH, help="A folder for the rows, as JSON.")
def kernels(compiled: bool, out: Path | None) -> None:
    """Check the fused operations against float64 on this machine, then time them."""
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
    print_table(f"correctness of what runs on {device}", tables.correctness_table(checks))
    print_table("speed", tables.speed_table(times))
    for reason in tables.refusals(times):
        print_line(f"not measured: {reason}")
    if device.type != "cuda":
        times += _compiled_kernels()
        print_line("not measured on a GPU: this machine has none")
    if out:
        print_line(results.write_rows(out, f"kernels-{device.type}", [*checks, *times]))
    if any(row["status"] != "passed" for row in checks):
        sys.exit(1)


def _compiled_kernels() -> list[dict[str, Any]]:
    """Compile the kernels on a machine without a GPU, and print what each of them uses."""
    import importlib.util

    if importlib.util.find_spec("triton") is None or os.environ.get("TRITON_INTERPRET") == "1":
        print_line("the kernels were not compiled: that needs triton, without TRITON_INTERPRET")
        return []
    from vaebench.ops.check.resources import compiled_rows
    from vaebench.ops.check.tables import resource_table

    rows = compiled_rows()
    print_table("compiled for sm_90, float32, bytes per element", resource_table(rows))
    return [*rows]
