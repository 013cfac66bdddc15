"""The long rows of checks, times and compiled kernels as narrow tables for a screen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vaebench.ops.check.correctness import Row

Table = list[dict[str, str]]


def correctness_table(rows: Iterable[Row]) -> Table:
    """The largest error of each operation and dtype, and whether all of its checks passed."""
    table = []
    for (op, dtype), group in _groups(rows, "op", "dtype").items():
        errors = [float(row["value"] or 0.0) for row in group if row["value"] is not None]
        wrong = [str(row["status"]) for row in group if row["status"] != "passed"]
        worst = f"{max(errors):.1e}" if errors else ""
        status = wrong[0] if wrong else "passed"
        table.append({"op": op, "dtype": dtype, "largest error": worst, "status": status})
    return table


def speed_table(rows: Iterable[Row]) -> Table:
    """A line for each operation, size and backend that was measured."""
    table = []
    measured = [row for row in rows if row["status"] == "measured"]
    for (op, size, backend), group in _groups(measured, "op", "size", "backend").items():
        cells = {(row["direction"], row["metric"]): f"{row['value']:.3g}" for row in group}
        spread = " to ".join(cells["both", f"time_q{q}"] for q in (20, 80))
        table.append(
            {
                "op": op,
                "K x S x B x D": size,
                "backend": backend,
                "forward ms": cells["forward", "time_median"],
                "backward ms": cells["backward", "time_median"],
                "both ms (20 to 80 %)": f"{cells['both', 'time_median']} ({spread})",
                "GB/s": cells["both", "bandwidth"],
                "of copy": cells["both", "bandwidth_of_copy"],
                "over eager": cells.get(("both", "speedup_over_eager"), ""),
                "peak MB": _megabytes(group),
            }
        )
    return table


def refusals(rows: Iterable[Row]) -> list[str]:
    """Why cases were not measured, each reason once: "compiled: not asked for (80 cases)"."""
    refused = [row for row in rows if row["value"] is None and row["direction"] == "both"]
    groups = _groups(refused, "backend", "status")
    return [
        f"{backend}: {why.removeprefix('not measured: ')} ({len(group)} cases)"
        for (backend, why), group in groups.items()
    ]


def resource_table(rows: Iterable[Row]) -> Table:
    """What each kernel compiled to: one line for each."""
    return [
        {"op": op, "direction": way, **{str(r["metric"]): f"{r['value']:g}" for r in group}}
        for (op, way), group in _groups(rows, "op", "direction").items()
    ]


def _megabytes(group: Sequence[Row]) -> str:
    peaks = [float(row["value"] or 0.0) for row in group if row["metric"] == "peak_memory"]
    return f"{peaks[0] / 1e6:.3g}" if peaks else ""


def _groups(rows: Iterable[Row], *columns: str) -> dict[tuple[str, ...], list[Row]]:
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(str(row[column]) for column in columns), []).append(row)
    return groups
