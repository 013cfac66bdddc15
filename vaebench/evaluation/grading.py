"""The models that are graded, the grades that they get, and the registry of gradings."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, Self, TypeVar

import torch
from torch import Tensor, nn

from vaebench.core.about import NOTHING, About
from vaebench.core.errors import InputError
from vaebench.core.hyper import Hyper, check_signature, complete, hyperparameters
from vaebench.core.registry import Registry, named_arguments, registers
from vaebench.core.user_code import call, is_users
from vaebench.data import Dataset, Images, PartName
from vaebench.models.likelihoods import Likelihood
from vaebench.models.posteriors import Distribution, Latent
from vaebench.models.priors import BoundPrior
from vaebench.ops.noise import Noise


class Graded(Protocol):
    """S trained models: a stack of this suite's, or one from elsewhere.

    Shapes: x [S, B, P], z [K, S, B, D], images [K, S, B, P].
    """

    @property
    def num_runs(self) -> int:
        """The number of runs, S."""

    @property
    def likelihood(self) -> Likelihood:
        """The likelihood p(x|z), as registered."""

    @property
    def latent(self) -> Latent:
        """The sizes of a code."""

    @property
    def like(self) -> Tensor:
        """A tensor of the models' precision, on their device."""

    def encoded(self, x: Tensor) -> Tensor:
        """The numbers [S, B, R] that q(z|x) is made of."""

    def distribution(self, numbers: Tensor) -> Distribution:
        """q(z|x) of such numbers, differentiable in them."""

    def posterior(self, x: Tensor) -> Distribution:
        """The posterior q(z|x) of images, as a distribution."""

    def prior(self) -> BoundPrior:
        """The prior p(z), with its parameters."""

    def log_px_z(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x|z) in nats, with all constants: [K, S, B]."""

    def mean_image(self, z: Tensor, x: Tensor | None = None) -> Tensor:
        """The mean image E[x|z]: [K, S, B, P]; x [S, B, P] gives library sizes that are known."""

    def sample_image(self, z: Tensor, noise: Noise, x: Tensor | None = None) -> Tensor:
        """Images drawn from p(x|z), in the values that the likelihood is for: [K, S, B, P].

        x [S, B, P] gives library sizes that are known.
        """

    def of_run(self, run: int) -> Self:
        """One run alone, as a stack of one."""


@dataclass(frozen=True)
class Subject:
    """What a grading works on: models, held-out data, random numbers, and common settings."""

    model: Graded
    dataset: Dataset
    noise: Noise
    """Random numbers for this grading alone, from one key for each run."""
    num_samples: int = 100
    """K of the importance-weighted bound."""
    num_images: int = 1000
    """Images drawn from each model."""
    extractor: str = "auto"
    """The name of the extractor whose features images are compared by."""

    def observed(self, part: PartName) -> Tensor:
        """A copy of the observations of a part of the data [N, P], where the models are."""
        return self.dataset.observe(part).to(self.model.like)

    def observations(self, part: PartName) -> Images:
        """The same, to be read a few at a time."""
        return self.dataset.observations(part).to(self.model.like)


@dataclass(frozen=True)
class Grade:
    """One metric of S runs, and how it was made."""

    name: str
    values: Tensor  # [S]
    protocol: str
    low: Tensor | None = None  # [S] ends of the 95% interval of its sampling
    high: Tensor | None = None
    reference: float | None = None
    """What real images score: the training part against the test part."""
    fingerprint: str = ""
    """A hash of all that must be equal for two values to be compared. Where it is "", `evaluate`
    fills in that of grading, scalars, K and data."""
    doubts: tuple[str, ...] = ()
    """For each run why its value should not be trusted, "" where it can be."""
    parts: Tensor | None = None  # [S, n] what the value is the mean of, kept for paired tests
    axis: str = "example"
    """What a part belongs to: an example, a factor or a dimension."""
    unit: str = ""
    """The unit of a metric that `results.UNITS` does not have; its direction is the next field."""
    higher_is_better: bool | None = None
    absent: str = ""
    """Why no run can have a value; `values` are NaN then. NaN without it is a fault of the run."""


def _num_images(subject: Subject, **hyper: float) -> float:
    return float(len(subject.dataset.test))


def _refuses_none(subject: Subject, **hyper: float) -> str:
    return ""


@dataclass(frozen=True)
class Grading:
    """One entry of the registry: a function that gives grades, and what is known of it."""

    name: str
    grade: Callable[..., list[Grade]]
    """(subject, **hyper) -> grades."""
    source: str
    refuses: Callable[..., str] = _refuses_none
    """(subject, **hyper) -> why it cannot be graded so, and what to do; "" where it can."""
    work: Callable[..., float] = _num_images
    """(subject, **hyper) -> an amount of work that its time is proportional to, in any unit."""
    small: Mapping[str, float] = field(default_factory=dict)
    """Scalars of a short run, from which the time of a full one is estimated."""
    about: About = NOTHING
    """What the documentation says of it beside these facts."""

    @property
    def hyper(self) -> dict[str, Hyper]:
        """The scalars that the grading takes, by name."""
        return hyperparameters(self.grade)

    def completed(self, hyper: Mapping[str, float]) -> dict[str, float]:
        """All scalars, counts as whole numbers. Raises InputError for one that it has not."""
        declared = self.hyper
        values = complete(f"grading {self.name!r}", declared, hyper)
        return {n: int(v) if declared[n].integer else v for n, v in values.items()}

    def check(self) -> None:
        """Raises InputError where the function has another signature."""
        check_signature(f"grading {self.name!r}", self.grade, "subject")


GRADINGS: Registry[Grading] = Registry("grading")
Grades = TypeVar("Grades", bound=Callable[..., list[Grade]])


@named_arguments
def grading(
    *,
    source: str,
    refuses: Callable[..., str] = _refuses_none,
    work: Callable[..., float] = _num_images,
    small: Mapping[str, float] = {},
    about: About = NOTHING,
) -> Callable[[Grades], Grades]:
    """Register the decorated function under its own name, with the fields of Grading.

    Raises InputError where the function has another signature.
    """
    return registers(
        GRADINGS,
        lambda name, grade: Grading(
            name, grade, source=source, refuses=refuses, work=work, small=small, about=about
        ),
    )


Answer = TypeVar("Answer")


def ask(function: Callable[..., Answer], subject: Subject, **scalars: float) -> Answer:
    """Call a function of a grading; one of the user's gets a copy of the data and weights."""
    if is_users(function) and isinstance(subject.model, nn.Module):
        subject = replace(subject, model=copy.deepcopy(subject.model))
    return call(function, subject, **scalars)


def check(subject: Subject, gradings: Mapping[str, Mapping[str, float]]) -> None:
    """Raises InputError for a grading that the subject cannot be graded by, with the reason."""
    for name, hyper in gradings.items():
        entry = GRADINGS[name]
        if reason := ask(entry.refuses, subject, **entry.completed(hyper)):
            raise InputError(f"grading {name!r} is refused: {reason}")


def with_own_streams(subject: Subject, name: str) -> Subject:
    """The subject with random numbers for one grading, which no other grading reads."""
    return replace(subject, noise=subject.noise.named(name))


def runs_alone(model: Graded, noise: Noise) -> Iterator[tuple[Graded, Noise]]:
    """Each run of a stack alone, as a stack of one, with its random numbers.

    What the layers of a large run write then stays in the cache, and it rounds as in any stack.
    """
    for run in range(model.num_runs):
        yield model.of_run(run), replace(noise, keys=noise.keys[run : run + 1])


def side_by_side(grades: Sequence[Grade]) -> Grade:
    """One metric of several stacks as that of one stack."""
    first = grades[0]

    def joined(values: Sequence[Tensor | None]) -> Tensor | None:
        tensors = [value for value in values if value is not None]
        return torch.cat(tensors) if len(tensors) == len(values) else None

    return replace(
        first,
        values=torch.cat([grade.values for grade in grades]),
        low=joined([grade.low for grade in grades]),
        high=joined([grade.high for grade in grades]),
        parts=joined([grade.parts for grade in grades]),
        doubts=tuple(doubt for grade in grades for doubt in grade.doubts or ("",)),
        absent=first.absent if all(grade.absent for grade in grades) else "",
    )
