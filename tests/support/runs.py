"""Short runs of any combination."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vaebench.config import RunConfig, TrainConfig, parse
from vaebench.config.build import build_stack, load_data
from vaebench.config.compatibility import refusal
from vaebench.core.hyper import Hyper
from vaebench.models import MODELS, VAE
from vaebench.models.likelihoods import BINARY, COUNTS, LIKELIHOODS, OPEN_UNIT
from vaebench.models.posteriors import POSTERIORS
from vaebench.models.priors import PRIORS
from vaebench.objectives import OBJECTIVES
from vaebench.training.curves import Step
from vaebench.training.descent import gradient_norms
from vaebench.training.loop import training_steps
from vaebench.training.step import Loss, MakeBlocks, TakeStep
from vaebench.training.stepping.eager import OneByOne, eager

K, NUM_STEPS, BATCH = 4, 5, 16
"""K is even, for the objectives that take their samples in two groups."""
IN_TRAIN = set(TrainConfig.__struct_fields__)


def with_hyper(entry: Any, registry: Mapping[str, Any]) -> dict[str, Any]:
    """A name, or a table, with a value for every hyperparameter that has no default."""
    table = {"name": entry} if isinstance(entry, str) else entry
    needed = {
        name: sum(hyper.search or (1.0, 1.0)) / 2
        for name, hyper in registry[table["name"]].hyper.items()
        if hyper.default is None
    }
    return needed | table


def two_values(hyper: Hyper) -> tuple[float, float]:
    """The ends of the search range; of what is not searched, its default and half of that."""
    if hyper.search:
        return hyper.search
    assert hyper.default is not None, "what has no default says where to search"
    return hyper.default, hyper.default / 2


def small(model: str, **more: Any) -> dict[str, Any]:
    """The table of a model by its name, with layers as small as it takes."""
    sizes = {"linear": {"widths": []}, "conv": {"widths": [4, 3]}, "resnet": {"channels": 3}}
    usual = {"widths": [4, 3]} if MODELS[model].takes_widths else {}
    return {"name": model, "latent_dim": 2} | sizes.get(model, usual) | more


def seen_by(likelihood: str) -> dict[str, Any]:
    """The digits, or counts, as observations that the likelihood gives a probability to."""
    support = LIKELIHOODS[likelihood].support
    if support is COUNTS:
        return {"name": "counts"}
    binarisation = "dynamic" if support is BINARY else "none"
    return {"name": "digits", "binarisation": binarisation, "dequantise": support is OPEN_UNIT}


def run_config(objective: Any = "elbo", likelihood: Any = "bernoulli", **more: Any) -> RunConfig:
    """A short run; `more` may hold fields of the training section too."""
    settings = {"num_steps": NUM_STEPS, "batch_size": BATCH}
    settings |= {name: more.pop(name) for name in IN_TRAIN & more.keys()}
    likelihood = with_hyper(likelihood, LIKELIHOODS)
    fields: dict[str, Any] = {
        "num_samples": K,
        "data": seen_by(likelihood["name"]),
        "model": {"latent_dim": 2, "widths": [8], "num_classes": 3, "num_components": 5},
    }
    return tiny(
        objective=with_hyper(objective, OBJECTIVES),
        likelihood=likelihood,
        train=settings,
        **(fields | more),
    )


def pairs() -> list[tuple[str, str]]:
    """Every posterior with every prior that the ELBO can be trained with, sampled or not."""
    return [
        (posterior, prior)
        for posterior, prior in itertools.product(POSTERIORS, PRIORS)
        if not refusal(sampled(posterior), "bernoulli", posterior, prior)
    ]


def sampled(posterior: str) -> str:
    """The ELBO without a formula for the KL; with one, where codes are relaxed."""
    return "elbo" if posterior == "gumbel_softmax" else "elbo_mc"


def step_by_step(make_step: Callable[[VAE, Loss], TakeStep]) -> MakeBlocks:
    """Strides of a step that a test puts in place of the eager one."""
    return lambda model, loss, descend, steps_left: OneByOne(make_step(model, loss), descend)


def steps_of(
    configs: Sequence[RunConfig], make_blocks: MakeBlocks = eager, at_once: int = 1
) -> tuple[VAE, Iterator[Step]]:
    """The model, and the steps that train it."""
    dataset = load_data(configs[0].data)
    model = build_stack(configs, dataset.image_shape, dataset.log_volume)
    return model, training_steps(model, configs, dataset, make_blocks, at_once=at_once)


def trace(configs: Sequence[RunConfig]) -> Tensor:
    """Loss and norm of the gradient of each run at each step: [T, 2, S]."""
    model, steps = steps_of(configs)
    return torch.stack([torch.stack([step.loss, gradient_norms(model)]) for step in steps])


def close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=2e-4, atol=1e-5)


def isolated(configs: Sequence[RunConfig]) -> bool:
    """Whether every run of the stack is what it is alone."""
    stacked = trace(configs)
    alone = torch.cat([trace([config]) for config in configs], -1)
    assert stacked.shape == (configs[0].train.num_steps, 2, len(configs))
    return close(stacked, alone)


def tiny(path: Path | str = "digits", **changes: object) -> RunConfig:
    """A short run's configuration, with other fields on top."""
    raw: dict[str, object] = {
        "objective": "elbo",
        "likelihood": "bernoulli",
        "data": {"name": str(path), "binarisation": "dynamic" if path == "digits" else "static"},
        "model": {"latent_dim": 2, "widths": [8]},
        "train": {"num_steps": 12, "batch_size": 16},
        "evaluate": {"num_samples": 5, "num_images": 40},
    }
    return parse(raw | changes)
