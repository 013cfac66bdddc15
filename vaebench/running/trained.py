"""The trained model of one run, as plain tensors without the axis of runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from vaebench import results
from vaebench.config import RunConfig, evaluation_settings
from vaebench.config.build import subject
from vaebench.core.arguments import items, shown, whole
from vaebench.core.errors import InputError, first_line
from vaebench.data import Dataset
from vaebench.evaluation import Bounds, Subject, bounds, evaluate
from vaebench.evaluation.codes.usage import posterior_mean
from vaebench.models import VAE
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.models.posteriors import Drawing
from vaebench.ops import densities
from vaebench.ops.noise import Noise, key

if TYPE_CHECKING:
    import pandas as pd

AT_ONCE = 1000
"""Rows that go through a network at once."""


@dataclass(frozen=True)
class TrainedModel:
    """A trained VAE. B examples, K samples, D numbers of a code, P pixels, n numbers for a pixel.

    Examples are arrays as the data set stores them, [B, *image_shape] or [B, P]: bytes, or floats;
    scaling and binarisation are the run's. Images are given in the units of what is stored, bytes
    as intensities in [0, 1]. What is drawn is a function of `seed`. Gradients flow through `decode`
    and `mean_image` to codes that ask for them.
    """

    run: str
    config: RunConfig
    vae: VAE
    dataset: Dataset

    @property
    def image_shape(self) -> tuple[int, ...]:
        """The axes of a stored example."""
        return self.dataset.image_shape

    def observe(self, x: ArrayLike) -> Tensor:
        """Examples as the model sees them, scaled and binarised: [B, P] float32.

        Raises InputError for numbers of another shape or kind, as do all that take examples.
        """
        return self._tested_on(x).observe("test").to(self.vae.like)

    def encode(
        self, x: ArrayLike, num_samples: int | None = None, seed: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|x): [B, D] each; with `num_samples` those of so many draws.

        Raises InputError without, where the family has no formula for them, as flows and layers.
        """
        if num_samples is not None:
            z = self.draw(x, whole("num_samples", num_samples, least=2), seed)
            return z.mean(0), z.var(0).log()

        def moments(rows: Tensor) -> Tensor:
            q = self.vae.posterior(rows[None])
            return torch.stack([q.mean[0], q.log_var[0]], 1)

        rows = self.observe(x)
        try:
            mu, log_var = _in_parts(moments, rows).unbind(1)
        except InputError as error:
            instead = "encode(x, num_samples=1000) takes them from draws, and draw(x) gives these"
            raise InputError(f"{error}; {instead}") from None
        return mu, log_var

    def draw(self, x: ArrayLike, num_samples: int = 1, seed: int = 0) -> Tensor:
        """Samples of q(z|x): [K, B, D]."""
        num_samples = whole("num_samples", num_samples, least=1)
        drawing = Drawing(_noise(seed, "codes"), num_samples, densities)
        return self.vae.posterior(self.observe(x)[None]).draw(drawing).z[:, 0]

    def layers(self, z: Tensor) -> tuple[Tensor, ...]:
        """The layers of codes, that beside the images first: [..., D] -> [..., D_l] each.

        A model of one layer has the codes as they are. Raises InputError for codes of other widths.
        """
        z = self._codes(z)
        dims = self.vae.latent.layer_dims or z.shape[-1:]
        return z.split(list(dims), -1)

    def decode(self, z: Tensor) -> Tensor:
        """What the likelihood takes, such as logits, of codes: [..., D] -> [..., n P]."""
        return self._of_codes(self.vae.decode, z)

    def mean_image(self, z: Tensor) -> Tensor:
        """E[x|z] of codes: [..., D] -> [..., *image_shape]. Counts are those of examples whose
        pixels have one count on average, where the library size is taken as known."""
        return self._images(self._of_codes(self.vae.mean_image, z))

    def reconstruct(self, x: ArrayLike, seed: int = 0) -> Tensor:
        """E[x|z] at the mean code of each example, of samples where it has no formula:
        [B, *image_shape]. A library size that is taken as known is the example's."""

        def means(rows: Tensor) -> Tensor:
            mean = posterior_mean(self.vae.posterior(rows[None]), _noise(seed, "reconstructions"))
            return self.vae.mean_image(mean[None], rows[None])[0, 0]

        return self._images(_in_parts(means, self.observe(x)))

    def sample(self, num: int, seed: int = 0, *, pixels: bool = False) -> Tensor:
        """E[x|z] for codes drawn from the prior, or with `pixels` x drawn from p(x|z):
        [num, *image_shape]. Raises InputError for pixels of a likelihood that has no sampler."""
        num = whole("num", num, least=1)
        noise = _noise(seed, "samples")
        z = self.vae.prior().sample(noise, num, self.vae.latent)[0].to(self.vae.like)
        if not pixels:
            return self.mean_image(z)
        return self._images(self.vae.sample_image(z[None, None], noise.named("pixels"))[0, 0])

    def traverse(
        self, x: ArrayLike, values: Sequence[float], dimensions: Sequence[int] | None = None
    ) -> Tensor:
        """E[x|z] where single numbers of the mean code of the first example are replaced.

        [dimensions, values, *image_shape]; every dimension where none are named. The layers of
        latents below that of a dimension follow it: each is at the prior's mean given the one
        above. Raises InputError for a dimension that is not there.
        """
        places = _numbers("values", values)
        if places.dim() != 1:
            raise InputError(
                f"values must be a list of numbers, as [-1, 0, 1]; got {shown(values)}"
            )
        mean = posterior_mean(self.vae.posterior(self.observe(x)[None, :1]), _noise(0, "codes"))
        code = mean[0, 0]
        every = range(len(code)) if dimensions is None else dimensions
        chosen = [whole("a dimension", d) for d in items("dimensions", every, object, "[0, 1]")]
        if wrong := [d for d in chosen if not 0 <= d < len(code)]:
            raise InputError(f"dimensions must be from 0 to {len(code) - 1}; got {wrong[0]}")
        paths = code.repeat(len(chosen), len(places), 1)
        for row, dimension in enumerate(chosen):
            paths[row, :, dimension] = places.to(code)
            paths[row] = self.vae.prior().followed(paths[row, None, None], dimension)[0, 0]
        return self.mean_image(paths)

    def bounds(self, x: ArrayLike, num_samples: int = 100, seed: int = 0) -> Bounds:
        """ELBO, importance-weighted NLL and their parts for each example, in nats: [B] each."""
        num_samples = whole("num_samples", num_samples, least=1)
        rows, noise = self.observe(x), _noise(seed, "bounds")
        values = bounds(self.vae, rows, noise, num_samples=num_samples)
        return Bounds(*(value[0] for value in vars(values).values()))

    def grade(
        self,
        x: ArrayLike,
        gradings: Sequence[Any] = ("likelihood",),
        num_samples: int | None = None,
    ) -> pd.DataFrame:
        """Figures of gradings with these examples as the test part, a row for each metric.

        Names, or tables with scalars as in a study; K is the run's where none is given. They draw
        what the run's own evaluation drew. Raises InputError for a grading that refuses.
        """
        import pandas as pd

        settings = msgspec.to_builtins(self.config.evaluate)
        settings["gradings"] = items("gradings", gradings, (str, Mapping), "['likelihood']")
        if num_samples is not None:
            settings["num_samples"] = whole("num_samples", num_samples, least=1)
        evaluate_by = evaluation_settings(settings)
        graded: Subject = subject(self.vae, self._tested_on(x), [self.config])
        graded = replace(graded, num_samples=evaluate_by.num_samples)
        evaluation = evaluate(graded, evaluate_by.wanted)
        metrics = results.metrics(evaluation.grades, 0)
        return pd.DataFrame([msgspec.structs.asdict(metric) for metric in metrics])

    def _tested_on(self, x: ArrayLike) -> Dataset:
        """The data set with other test examples. Raises InputError."""
        import numpy as np

        try:
            array = np.asarray(x)
        except ValueError as error:  # rows of several lengths
            raise InputError(f"examples must be one array; {first_line(error)}") from error
        dataset = self.dataset.tested_on(array)
        observed = dataset.observations("test")
        LIKELIHOODS[self.config.likelihood.name].check_support(observed, "what is given")
        return dataset

    def _codes(self, z: Tensor) -> Tensor:
        """Codes [..., D], as they are. Raises InputError for what has another last axis."""
        z = _numbers("codes", z)
        width = self.vae.family.posterior.code_width(self.vae.latent)
        if z.shape[-1:] != (width,):
            raise InputError(f"codes must be [..., {width}]; got {tuple(z.shape)}")
        return z

    def _of_codes(self, function: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
        """Apply a function of codes [K, S, B, D] to codes [..., D]. Raises InputError."""
        z = self._codes(z)
        rows = z.reshape(-1, z.shape[-1]).to(self.vae.like)
        out = _in_parts(lambda part: function(part[None, None])[0, 0], rows)
        return out.view(*z.shape[:-1], out.shape[-1])

    def _images(self, means: Tensor) -> Tensor:
        """Images [..., P] in the units of what is stored: [..., *image_shape]."""
        scaling = self.dataset.train.images.reading.scaling
        if scaling is not None:
            means = means * scaling.scale.to(means) + scaling.shift.to(means)
        return means.unflatten(-1, self.image_shape)


def _noise(seed: int, purpose: str) -> Noise:
    return Noise((key(whole("seed", seed), purpose),))


def _numbers(name: str, values: Any) -> Tensor:
    """Finite real numbers as a tensor. Raises InputError for anything else."""
    try:
        numbers = torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{name} must be numbers; {first_line(error)}") from error
    if numbers.is_complex() or not bool(numbers.isfinite().all()):
        raise InputError(f"{name} must be finite real numbers; got {shown(values)}")
    return numbers


def _in_parts(function: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """A function of rows, some of them at a time."""
    return torch.cat([function(part) for part in rows.split(AT_ONCE)])
