"""The record of a run, and the only code that reads and writes a results folder.

OUT/runs/ID.json      one record per run, named by the hash of its configuration
OUT/samples/ID.png    images drawn from it
OUT/weights/ID.pt     its parameters, for another evaluation
OUT/examples/ID.npz   what its figures are means of, for paired tests
OUT/timings.json      the last quiet timing pass
"""

from __future__ import annotations

import io
import os
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from vaebench.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from vaebench.evaluation import Grade

Status = Literal["done", "diverged", "failed"]

ABANDONED_AFTER_S = 3600.0
"""A temporary file this old belongs to no writer that still runs."""


class Metric(Struct, frozen=True):
    """One figure: raw, unrounded, with its unit, its direction and how it was made."""

    metric: str
    value: float | None
    unit: str
    higher_is_better: bool | None
    protocol: str = ""
    low: float | None = None
    """Ends of the 95% interval of its sampling, where it has one."""
    high: float | None = None
    reference: float | None = None
    """What real images score: the training part against the test part."""
    fingerprint: str = ""
    """Two values are compared only where it is the same."""
    trust: str = ""
    """Why the value should not be trusted; "" where it can be."""


class Labels(Struct, frozen=True):
    """What a row says of the run it belongs to."""

    dataset: str
    likelihood: str
    objective: str
    hyper: str
    variant: str
    num_samples: int
    observation_space: str
    settings: str
    """The rest of the configuration, "train.num_steps=5000 ...": seeds are averaged within it."""
    seed: int | None


class Record(Struct, frozen=True, kw_only=True):
    """One run, or one variant in a timing pass. What happened to it, in full."""

    run: str
    study: str
    labels: Labels
    status: Status
    reason: str = ""
    metrics: list[Metric] = []
    curves: dict[str, list[float | None]] = {}
    config: dict[str, Any] = {}
    operations: dict[str, str] = {}
    """The way of each fused operation: triton, cpu native, cpu or reference, with the reason."""
    environment: dict[str, str] = {}


UNITS: dict[str, tuple[str, bool | None]] = {
    "nll": ("nats", False),
    "elbo": ("nats", True),
    "rate": ("nats", None),
    "distortion": ("nats", None),
    "bits_per_dim": ("bits/dim", False),
    "valid_nll": ("nats", False),
    "valid_elbo": ("nats", True),
    "ess": ("share of K", True),
    "khat_high": ("share of examples", False),
    "ais_nll": ("nats", False),
    "ais_acceptance": ("share of proposals", None),
    "ais_ess": ("share of chains", True),
    "bdmc_gap": ("nats", False),
    "approximation_gap": ("nats", False),
    "amortisation_gap": ("nats", False),
    "active_units": ("count", None),
    "collapsed": ("share of dimensions", None),
    "rate_per_dimension": ("nats", None),
    "aggregate_kl": ("nats", None),
    "mutual_information": ("nats", None),
    "mse": ("squared intensity", False),
    "mig": ("1", True),
    "dci_disentanglement": ("1", True),
    "dci_completeness": ("1", True),
    "dci_informativeness": ("1", True),
    "sap": ("1", True),
    "factor_vae_score": ("1", True),
    "beta_vae_score": ("1", True),
    "frechet": ("squared feature units", False),
    "kid": ("1", False),
    "precision": ("1", True),
    "recall": ("1", True),
    "density": ("1", True),
    "coverage": ("1", True),
    "memorised": ("share of images", False),
    "c2st_accuracy": ("1", False),
    "c2st_p_value": ("1", None),
    "step_time": ("ms", False),
    "step_time_q20": ("ms", False),
    "step_time_q80": ("ms", False),
    "step_time_ratio": ("1", False),
    "examples_per_s": ("1/s", True),
    "peak_memory": ("MiB", False),
}
"""Each metric's unit and whether higher is better; None where neither is."""


def metric(name: str, value: float | None, protocol: str = "", **facts: Any) -> Metric:
    """A Metric with the unit and direction of its name; `facts` are its other fields."""
    unit, higher_is_better = UNITS[name]
    return Metric(name, value, unit, higher_is_better, protocol, **facts)


def metrics(grades: Sequence[Grade], run: int) -> list[Metric]:
    """The figures of one run of a graded stack. NaN that comes with its reason is no value."""

    def number(values: Tensor | None) -> float | None:
        return None if values is None else float(values[run])

    def of(g: Grade) -> Metric:
        value, doubt = number(g.values), g.doubts[run] if g.doubts else ""
        given = None if doubt and value != value else value
        ends = (None, None) if given is None else (number(g.low), number(g.high))
        facts = {"reference": g.reference, "fingerprint": g.fingerprint, "trust": doubt}
        return metric(g.name, given, g.protocol, low=ends[0], high=ends[1], **facts)

    return [of(grade) for grade in grades]


def parts(grades: Sequence[Grade], run: int) -> dict[str, NDArray[Any]]:
    """What the figures of one run are means of, by metric; "METRIC by AXIS" where not examples."""
    return {
        g.name if g.axis == "example" else f"{g.name} by {g.axis}": g.parts[run].cpu().numpy()
        for g in grades
        if g.parts is not None
    }


def prepare(out: Path) -> None:
    """Make the folders, and clear what an interrupted writer left. Raises InputError."""
    try:
        for folder in ("runs", "samples", "weights", "examples"):
            (out / folder).mkdir(parents=True, exist_ok=True)
            for orphan in (out / folder).glob(".*.tmp"):
                if time.time() - orphan.stat().st_mtime > ABANDONED_AFTER_S:
                    orphan.unlink(missing_ok=True)
        with tempfile.NamedTemporaryFile(dir=out):
            pass
    except OSError as error:
        raise InputError(
            f"the output folder must be writable; {out}: {error.strerror}: choose another --out"
        ) from error


def write_atomically(path: Path, content: bytes) -> None:
    """All of the content or nothing: a temporary file beside it, fsync, rename."""
    with tempfile.NamedTemporaryFile(
        dir=path.parent, prefix=".", suffix=".tmp", delete=False
    ) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.chmod(file.name, 0o644)  # temporary files are for their owner alone
    os.replace(file.name, path)


def write(out: Path, record: Record) -> None:
    """Record one run."""
    write_atomically(out / "runs" / f"{record.run}.json", _encode(record))


def write_examples(out: Path, run: str, values: Mapping[str, NDArray[Any]]) -> None:
    """Keep what figures of a run are means of, one array for each, compressed."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **values)
    write_atomically(out / "examples" / f"{run}.npz", buffer.getvalue())


def examples(out: str | Path, run: str) -> dict[str, NDArray[Any]]:
    """What figures of a run are means of, by metric: a value for each example.

    Under "METRIC by dimension", or another axis, where it is not examples. Nothing where there is
    no such file. Raises InputError where it is damaged.
    """
    path = Path(out) / "examples" / f"{run}.npz"
    if not path.exists():
        return {}
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(
            f"{path} must be an .npz of plain arrays ({error}): delete it and its run's record, "
            f"and run it again"
        ) from error


def add(
    out: Path, record: Record, metrics: Sequence[Metric], values: Mapping[str, NDArray[Any]]
) -> None:
    """Add figures to a record, in the place of those of the same name, and what they are means of.

    What is there already stays as it is until all of the new is written.
    """
    new = {m.metric for m in metrics}
    kept = [m for m in record.metrics if m.metric not in new]
    write_examples(out, record.run, examples(out, record.run) | dict(values))
    write(out, msgspec.structs.replace(record, metrics=[*kept, *metrics]))


def write_timings(out: Path, records: list[Record]) -> None:
    """Record a timing pass, in the place of the one before."""
    write_atomically(out / "timings.json", _encode(records))


def write_rows(out: Path, name: str, rows: list[dict[str, Any]]) -> Path:
    """Write plain rows as OUT/NAME.json; the path. Raises InputError where that cannot be."""
    path = out / f"{name}.json"
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(path, _encode(rows))
    except OSError as error:
        raise InputError(f"{out} must be a writable folder: {error.strerror}") from error
    return path


def recorded(out: Path) -> dict[str, Status]:
    """The runs that are there, by id, with how they ended."""
    return {record.run: record.status for record in records(out)}


def records(out: Path) -> Iterator[Record]:
    """Every run's record. Raises InputError for a file that is not one."""
    for path in sorted((out / "runs").glob("*.json")):
        yield _decode(path, Record)


def timings(out: Path) -> list[Record]:
    """The records of the last timing pass."""
    path = out / "timings.json"
    return list(_decode(path, list[Record])) if path.exists() else []


def load(out: str | Path) -> pd.DataFrame:
    """The rows of a results folder: one per run and metric, raw values, NaN where there is none.

    A run that diverged or failed has one row without a metric, with its status and reason.
    Raises InputError where there are no results.
    """
    folder = Path(out)
    found = [*records(folder), *timings(folder)]
    if not found:
        raise InputError(
            f"{folder} must hold results (runs/*.json); it has none: run a study first"
        )
    return frame(found)


def frame(records: Iterable[Record]) -> pd.DataFrame:
    """The rows of records: one for each metric, or one without where there is none."""
    import pandas as pd

    numbers = dict.fromkeys(("value", "low", "high", "reference"), float)
    rows = [row for record in records for row in _rows(record)]
    return pd.DataFrame(rows).astype({"seed": "Int64", **numbers})


def curves(out: str | Path) -> pd.DataFrame:
    """The learning curves of a results folder: one row per run and logged step."""
    import pandas as pd

    frames = [
        pd.DataFrame(r.curves).assign(run=r.run, **msgspec.structs.asdict(r.labels))
        for r in records(Path(out))
        if r.curves
    ]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _rows(record: Record) -> Iterator[dict[str, Any]]:
    common = {
        "run": record.run,
        "study": record.study,
        **msgspec.structs.asdict(record.labels),
        "status": record.status,
        "reason": record.reason,
        "environment": ", ".join(f"{k} {v}" for k, v in record.environment.items()),
    }
    for m in record.metrics or [Metric("", None, "", None)]:
        yield {**common, **msgspec.structs.asdict(m)}


def _encode(content: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(content, order="deterministic"), indent=1)


def _decode(path: Path, kind: Any) -> Any:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError) as error:
        raise InputError(
            f"{path} must be a record of this version ({error}): move it away and run again"
        ) from error
