"""What a record of a run holds, and how grades become its figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta, Struct
from numpy.typing import NDArray

from vaebench.core.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from vaebench.evaluation import Grade

Status = Literal["done", "diverged", "failed"]

SCHEMA = 1
"""The schema of the records that this version writes; it reads this one and all before."""


Steps = Annotated[int, Meta(ge=1, le=2**63 - 1)]
"""A number of steps, at most as large as a table can hold."""


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
    """The objective's hyperparameters as JSON, a column of the rows. Code reads the numbers of
    `Record.config`, which have typed columns of their own."""
    variant: str
    num_samples: int
    observation_space: str
    settings: str
    """The rest of the configuration, "train.num_steps=5000 ...": seeds are averaged within it."""
    seed: int | None


class Training(Struct, frozen=True):
    """How far a run was trained, and which of its weights are kept."""

    steps: Steps
    """How many were taken: fewer than `num_steps` where it stopped early."""
    num_steps: Steps
    kept: Steps
    """How many steps had been taken when the weights were those that are graded."""


class Record(Struct, frozen=True, kw_only=True):
    """One run, or one variant in a timing pass. What happened to it, in full."""

    run: str
    study: str
    labels: Labels
    status: Status
    reason: str = ""
    metrics: list[Metric] = []
    curves: dict[str, list[float | None]] = {}
    training: Training | None = None
    """None for a diverged run, a timing pass and a model from elsewhere."""
    config: dict[str, Any] = {}
    operations: dict[str, str] = {}
    """The way of each fused operation: triton, cpu native, cpu or reference, with the reason."""
    environment: dict[str, str] = {}
    schema: Annotated[int, Meta(ge=1)] = SCHEMA
    """Raised when what a record means changes; those of before it was counted are of the first."""
    protocol: int = 0
    """That of the run's numbers, see `config.run_config.PROTOCOL`; 0 where it does not say."""
    weights: str = ""
    """SHA-256 of the file of its parameters; "" where there is none, or in earlier records."""


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
    "zeros_gap": ("share of counts", None),
    "dispersion_gap": ("log ratio", None),
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


def metric(name: str, value: float, protocol: str = "") -> Metric:
    """A Metric with the unit and direction of its name."""
    unit, higher_is_better = UNITS[name]
    return Metric(name, value, unit, higher_is_better, protocol)


def metrics(grades: Sequence[Grade], run: int) -> list[Metric]:
    """The figures of one run of a graded stack."""

    def number(values: Tensor | None) -> float | None:
        return None if values is None else float(values[run])

    def of(g: Grade) -> Metric:
        if g.absent:
            return Metric(g.name, None, *_unit(g), g.protocol, trust=g.absent)
        return Metric(
            g.name,
            number(g.values),
            *_unit(g),
            g.protocol,
            low=number(g.low),
            high=number(g.high),
            reference=g.reference,
            fingerprint=g.fingerprint,
            trust=g.doubts[run] if g.doubts else "",
        )

    return [of(grade) for grade in grades]


def _unit(grade: Grade) -> tuple[str, bool | None]:
    """Raises InputError for a grade of the user's own that states none."""
    if grade.name in UNITS:
        return UNITS[grade.name]
    if not grade.unit:
        raise InputError(
            f"grade {grade.name!r} must state its unit: Grade(..., unit='nats'), '1' where it "
            f"has none"
        )
    return grade.unit, grade.higher_is_better


def parts(grades: Sequence[Grade], run: int) -> dict[str, NDArray[Any]]:
    """What the figures of one run are means of, by metric; "METRIC by AXIS" where not examples."""
    return {
        g.name if g.axis == "example" else f"{g.name} by {g.axis}": g.parts[run].cpu().numpy()
        for g in grades
        if g.parts is not None
    }
