"""The record of a run, and the only code that reads and writes a results folder.

OUT/runs/ID.json      one record per run, named by the hash of its configuration
OUT/samples/ID.png    images drawn from it
OUT/weights/ID.pt     its parameters, for another evaluation
OUT/examples/ID.npz   what its figures are means of, for paired tests
OUT/timings.json      the last quiet timing pass
"""

from vaebench.results.folder import (
    add,
    examples,
    prepare,
    recorded,
    records,
    timings,
    write,
    write_atomically,
    write_examples,
    write_rows,
    write_timings,
)
from vaebench.results.record import (
    UNITS,
    Labels,
    Metric,
    Record,
    Status,
    metric,
    metrics,
    parts,
)
from vaebench.results.rows import (
    curves,
    frame,
    load,
)

__all__ = [
    "UNITS",
    "Labels",
    "Metric",
    "Record",
    "Status",
    "add",
    "curves",
    "examples",
    "frame",
    "load",
    "metric",
    "metrics",
    "parts",
    "prepare",
    "recorded",
    "records",
    "timings",
    "write",
    "write_atomically",
    "write_examples",
    "write_rows",
    "write_timings",
]
