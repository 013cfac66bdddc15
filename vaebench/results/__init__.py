"""The record of a run, and the only code that reads and writes a results folder.

OUT/runs/ID.json      one record per run, named by the hash of its configuration
OUT/samples/ID.png    images drawn from it
OUT/exhibits/ID.npz   what else of it is kept to look at
OUT/weights/ID.pt     its parameters, for another evaluation
OUT/examples/ID.npz   what its figures are means of, for paired tests
OUT/timings.json      the last quiet timing pass
OUT/tuning.json       of a sweep: which runs are of which variant, untuned and tuned
OUT/finals.json       of a sweep: the runs of winners that it has added, and may remove again
OUT/trials/           of a sweep: a results folder of its trials' runs
OUT/work.lock         held by the study or sweep at work
OUT/records.lock      held while a record is changed
OUT/index.sqlite      what the records of a large folder say, for fast reading; may be deleted
"""

from vaebench.results.companions import (
    FRONT,
    GRADIENTS,
    KERNELS,
    TRIALS,
    benchmarks,
    rows_beside,
    trials,
)
from vaebench.results.exhibits import About, Exhibit, exhibits, pack_exhibits
from vaebench.results.export import export
from vaebench.results.files import check_room, writable, write_atomically
from vaebench.results.folder import (
    add,
    digest,
    encoded,
    examples,
    file_of,
    kept,
    pack_examples,
    prepare,
    read,
    read_weights,
    recorded,
    records,
    remove,
    samples,
    status,
    timings,
    write,
    write_examples,
    write_part,
    write_rows,
    write_timings,
)
from vaebench.results.lock import alone, changing
from vaebench.results.merging import merge
from vaebench.results.points import curves, read_together
from vaebench.results.record import (
    UNITS,
    Labels,
    Metric,
    Record,
    Status,
    Training,
    metric,
    metrics,
    parts,
)
from vaebench.results.rows import frame, load
from vaebench.results.selection import conditions, selected, unknown_values
from vaebench.results.tuning import Tuning, read_tuning, write_tuning

__all__ = [
    "FRONT",
    "GRADIENTS",
    "KERNELS",
    "TRIALS",
    "UNITS",
    "About",
    "Exhibit",
    "Labels",
    "Metric",
    "Record",
    "Status",
    "Training",
    "Tuning",
    "add",
    "alone",
    "benchmarks",
    "changing",
    "check_room",
    "conditions",
    "curves",
    "digest",
    "encoded",
    "examples",
    "exhibits",
    "export",
    "file_of",
    "frame",
    "kept",
    "load",
    "merge",
    "metric",
    "metrics",
    "pack_examples",
    "pack_exhibits",
    "parts",
    "prepare",
    "read",
    "read_together",
    "read_tuning",
    "read_weights",
    "recorded",
    "records",
    "remove",
    "rows_beside",
    "samples",
    "selected",
    "status",
    "timings",
    "trials",
    "unknown_values",
    "writable",
    "write",
    "write_atomically",
    "write_examples",
    "write_part",
    "write_rows",
    "write_timings",
    "write_tuning",
]
