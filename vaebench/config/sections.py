"""The parts of a run's configuration: frozen, checked on conversion."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import Meta, Struct

from vaebench.config.schedules import SCHEDULES
from vaebench.data import Values
from vaebench.evaluation import USUAL
from vaebench.models.posteriors import Latent

LARGEST = 2**63 - 1
"""The largest whole number that the JSON of a record can hold."""
AtLeastOne = Annotated[int, Meta(ge=1, le=LARGEST)]
WORD = 2**32
"""Steps, samples and images are words of the counters that random numbers are functions of."""
Counted = Annotated[int, Meta(ge=1, le=WORD)]
Positive = Annotated[float, Meta(gt=0.0, le=sys.float_info.max)]
Binarisation = Literal["none", "dynamic", "threshold", "static"]


ADDED = ("accumulate", "keep", "beta1", "beta2", "epsilon", "second_moment", "ema")
"""Settings of training that earlier runs did not have: they are part of a run's id, and of its
settings, only where they are not at their defaults."""


class Choice(Struct, frozen=True, forbid_unknown_fields=True):
    """A registry entry by name, with its hyperparameters: numbers or schedules."""

    name: str
    hyper: dict[str, float | Choice] = {}

    def __str__(self) -> str:
        """The name with its values as tables show them; a schedule's defaults are left out."""
        defaults = SCHEDULES[self.name].hyper if self.name in SCHEDULES else {}
        inside = ", ".join(
            f"{name}={text(value)}"
            for name, value in self.hyper.items()
            if name not in defaults or defaults[name].default != value
        )
        return f"{self.name}({inside})" if inside else self.name


LATER = ("values", "columns", "test_fraction", "standardise", "library_size")
"""Settings of data that are no part of a run's id at their defaults: runs had ids before them."""


class DataConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A data set by name or path, and how it is read, split and observed."""

    name: str = "digits"
    values: Values | None = None
    """What its numbers are: unit (in [0, 1]), binary, counts or real; None: what the data set says,
    or intensities and any floats."""
    columns: tuple[str, ...] = ()
    """The columns of a table that make an example; none: all."""
    test_fraction: Annotated[float, Meta(gt=0.0, lt=1.0)] | None = None
    """Share of the examples to test on, where the data set has no such part."""
    binarisation: Binarisation = "none"
    valid_fraction: Annotated[float, Meta(gt=0.0, lt=1.0)] | None = None
    """Share of the training part to validate on, where the data set has no such part; None: 1/6."""
    split_seed: Annotated[int, Meta(ge=-LARGEST, le=LARGEST)] = 0
    dequantise: bool = False
    """Fill the gaps between the 256 levels of 8-bit images with noise; what a density then gives
    is a bound on the log-probability of the stored images."""
    standardise: bool = False
    """Scale each pixel of real values to mean 0 and variance 1 over the training part. Likelihoods
    are given that; log p(x) stays that of what is stored, the Jacobian being counted."""
    library_size: bool = False
    """Take the sum of an example's counts as known: it multiplies the means of p(x|z)."""
    fingerprint: str = ""
    """Hash of the data set's bytes; filled in when a study is read."""

    @property
    def label(self) -> str:
        """The name without the folder that a path may have."""
        return Path(self.name).stem

    @property
    def identity(self) -> dict[str, Any]:
        """What decides a run's numbers: the label for the name, and no defaults of LATER."""
        fields = msgspec.to_builtins(self) | {"name": self.label}
        usual = DataConfig()
        same = {name for name in LATER if getattr(self, name) == getattr(usual, name)}
        return {name: value for name, value in fields.items() if name not in same}

    @property
    def observed(self) -> str:
        """How stored numbers become observations, in a word."""
        words = [
            "dequantised" if self.dequantise else self.binarisation,
            *(["standardised"] if self.standardise else []),
            *(["given library size"] if self.library_size else []),
        ]
        return " ".join(words).removeprefix("none ")


class ModelConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Encoder and decoder: kind of network and sizes."""

    name: str = "mlp"
    latent_dim: AtLeastOne = 8
    """Dimensions of the code, or its categorical variables."""
    widths: tuple[AtLeastOne, ...] = (128,)
    num_classes: Annotated[int, Meta(ge=2, le=LARGEST)] = 10
    """Values of each categorical variable."""
    flow_steps: AtLeastOne = 2
    """Maps of a flow posterior."""
    num_components: AtLeastOne = 10
    """Components of a mixture prior."""
    layer_dims: tuple[AtLeastOne, ...] = ()
    """Dimensions of the layers of a hierarchical posterior or prior, the one beside the images
    first; they add up to latent_dim. None: two halves of it."""
    layer_widths: tuple[tuple[AtLeastOne, ...], ...] = ()
    """Hidden widths of the networks between each two layers, the lowest two first; none: `widths`
    each."""
    layer_model: str = "mlp"
    """The model that these networks are encoder and decoder of, with the hyperparameters of the
    model itself where it is the same one, else with its defaults."""
    layer_skip: bool = False
    """Whether the decoder sees all layers, and not that beside the images alone."""
    layer_features: tuple[AtLeastOne, ...] = ()
    """Numbers of the deterministic layer of each layer of latents, of a top-down posterior: the
    encoder leads to the first, a network of `layer_model` with `layer_widths` from each to the
    next. None: the encoder's last hidden layer says all."""
    hyper: dict[str, bool | int | float | str] = {}
    """The hyperparameters that the model declares, written beside the fields above."""

    @property
    def latent(self) -> Latent:
        """The sizes of the code."""
        return Latent(
            self.latent_dim,
            self.num_classes,
            self.flow_steps,
            self.layer_dims,
            self.layer_widths,
            self.layer_model,
            self.layer_skip,
            self.layer_features,
        )

    @property
    def left_out(self) -> list[str]:
        """The settings of layers that are at their defaults: runs of one layer had ids before."""
        usual = ModelConfig()
        layered = [name for name in self.__struct_fields__ if name.startswith("layer_")]
        return [name for name in layered if getattr(self, name) == getattr(usual, name)]


class TrainConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The training loop: Adam on minibatches."""

    num_steps: Counted = 6000
    batch_size: Counted = 64
    accumulate: Counted = 1
    """Minibatches of a step, one after another: it moves by the mean of their gradients, as by one
    of `accumulate` x `batch_size` examples, in the memory of one of `batch_size`."""
    learning_rate: Positive | Choice = 1e-3
    """A number, or a schedule over the steps of training."""
    max_grad_norm: Positive | None = None
    """Gradients are scaled down to this norm, run by run; None: never."""
    weight_decay: Annotated[float, Meta(ge=0.0, le=sys.float_info.max)] = 0.0
    """Decoupled from the gradient (Loshchilov & Hutter 2019, algorithm 2)."""
    beta1: Annotated[float, Meta(ge=0.0, lt=1.0)] = 0.9
    """Share of the old value in Adam's average of gradients."""
    beta2: Annotated[float, Meta(ge=0.0, lt=1.0)] = 0.999
    """Share of the old value in Adam's average of squared gradients."""
    epsilon: Annotated[float, Meta(ge=1e-30, le=1.0)] = 1e-8
    """What Adam adds to the root of that average."""
    second_moment: Annotated[float, Meta(ge=0.0, le=sys.float_info.max)] = 0.0
    """Where that average starts."""
    ema: Annotated[float, Meta(ge=0.0, lt=1.0)] = 0.0
    """Decay of a moving average of the weights, by which the run is graded, on the learning curve
    too: average = ema x average + (1 - ema) x weights after each step; 0: by the weights."""
    patience: AtLeastOne | None = None
    """A run stops after so many points of its learning curve, of which there are 40 to 79 (a point
    for each step where they are fewer), without a better ELBO on the validation part; None: never.
    Points count from the first step on at which every schedule of the run's loss has its last
    value, as what comes before is another objective, and its learning rate rises no more: a warm-up
    has ended, a decay need not have. So a run goes to its end where such a schedule does, or where
    fewer points are left than the patience."""
    keep: Literal["last", "best"] = "last"
    """The weights that a run is graded by: those after its last step, or those of the point that
    counts, see `patience`, with the best ELBO on at most 1000 images of the validation part; the
    last where no point counts."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of matrix products in training; every grade is computed in float32."""

    @property
    def examples_per_step(self) -> int:
        """The examples whose gradients a step averages."""
        return self.accumulate * self.batch_size

    @property
    def left_out(self) -> list[str]:
        """The settings of ADDED that are at their defaults."""
        usual = TrainConfig()
        return [name for name in ADDED if getattr(self, name) == getattr(usual, name)]


class EvaluateConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The evaluation of a run: sizes, extractor and gradings."""

    num_samples: Counted = 100
    """K of the importance-weighted NLL, and of the sampled reconstruction term."""
    num_images: Annotated[int, Meta(ge=2, le=WORD)] = 1000
    """Images drawn from the prior, to be compared with held-out ones."""
    extractor: str = "auto"
    """The extractor whose features images are compared by: see `evaluation.samples.extractors`."""
    gradings: tuple[Choice, ...] = tuple(Choice(name, dict(hyper)) for name, hyper in USUAL.items())
    """What is graded: entries of the registry `gradings`, with their scalars."""

    @property
    def wanted(self) -> dict[str, dict[str, float]]:
        """The gradings by name, with their scalars."""
        return {g.name: cast(dict[str, float], g.hyper) for g in self.gradings}


def text(value: float | Choice) -> str:
    """A hyperparameter as tables show it: with all of its digits, where it has more than six."""
    if not isinstance(value, (int, float)):
        return str(value)
    short = f"{value:g}"
    return short if float(short) == value else str(value)


def flat(**sections: Struct) -> dict[str, str]:
    """Every field as "section.field" with a value of one word: tables split settings at spaces."""
    return {
        f"{section}.{name}": _word(v)
        for section, fields in sections.items()
        for name, v in _fields(fields)
    }


def _fields(section: Struct) -> Iterator[tuple[str, Any]]:
    """The fields of a section, and its hyperparameters, by name."""
    for name, value in msgspec.structs.asdict(section).items():
        if isinstance(value, dict):
            yield from value.items()
        else:
            yield name, value


def _word(value: Any) -> str:
    words = value if isinstance(value, tuple) else (value,)
    inner = ("-".join(map(str, word)) if isinstance(word, tuple) else str(word) for word in words)
    return ",".join(inner).replace(" ", "")


def digest(table: dict[str, Any]) -> str:
    """16 hex digits of the hash of the canonical JSON."""
    canonical = msgspec.json.encode(table, order="deterministic")
    return hashlib.sha256(canonical).hexdigest()[:16]
