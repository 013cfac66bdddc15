"""What keeps two runs out of one stack: every field of a configuration is classified here."""

from collections.abc import Iterator

import msgspec
import pytest
from msgspec import Struct

from tests.support.runs import tiny
from vaebench.config import Choice
from vaebench.objectives import OBJECTIVES

RISING = Choice("linear", {"start": 0.0, "stop": 1.0, "over": 0.2})

SCALARS = {
    "seed": 7,
    "train.learning_rate": 0.5,
    "train.beta1": 0.5,
    "train.beta2": 0.9,
    "train.epsilon": 1e-4,
    "train.second_moment": 1.0,
    "train.ema": 0.5,
    "train.patience": 3,
    "train.keep": "best",
    "train.weight_decay": 0.01,
    "train.max_grad_norm": 1.0,
    "rate_weight": RISING,
    "objective.hyper": {"beta": RISING},
    "likelihood.hyper": {"sigma": 0.9},
    "posterior.hyper": {"temperature": 0.3},
    "prior.hyper": {"spread": 2.0},
}
"""Another value of each field in which the runs of one stack may differ."""
SHAPES = {
    "objective.name": "iwae",
    "likelihood.name": "gaussian_learned",
    "posterior.name": "iaf",
    "prior.name": "vamp",
    "num_samples": 5,
    "plugin": "0123456789ab",
    "data.name": "elsewhere",
    "data.binarisation": "dynamic",
    "data.valid_fraction": 0.3,
    "data.split_seed": 1,
    "data.dequantise": True,
    "data.values": "counts",
    "data.columns": ("a", "b"),
    "data.test_fraction": 0.2,
    "data.standardise": True,
    "data.library_size": True,
    "data.fingerprint": "abcd",
    "model.name": "linear",
    "model.latent_dim": 3,
    "model.widths": (8, 8),
    "model.num_classes": 3,
    "model.flow_steps": 4,
    "model.num_components": 5,
    "model.hyper": {"channels": 64},
    "train.num_steps": 13,
    "train.precision": "bfloat16",
    "model.layer_dims": (2, 1),
    "model.layer_widths": ((3,),),
    "model.layer_model": "linear",
    "model.layer_skip": True,
    "model.layer_features": (4, 3),
    "train.batch_size": 17,
    "train.accumulate": 2,
    "evaluate.num_samples": 6,
    "evaluate.num_images": 41,
    "evaluate.extractor": "raw",
    "evaluate.gradings": (Choice("likelihood"),),
}
"""Another value of each field that decides shapes, data or code: one value for a whole stack."""

BASE = tiny(
    objective={"name": "beta_elbo", "beta": 2.0},
    likelihood={"name": "gaussian", "sigma": 0.2},
    data={"name": "digits"},
)


def paths(struct: Struct, prefix: str = "") -> Iterator[str]:
    """The dotted name of every field that is no section of its own."""
    for field in msgspec.structs.fields(struct):
        value = getattr(struct, field.name)
        if isinstance(value, Struct):
            yield from paths(value, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name


def changed(struct: Struct, path: str, value: object) -> Struct:
    """A copy with another value in one place."""
    name, _, rest = path.partition(".")
    old = getattr(struct, name)
    new = changed(old, rest, value) if rest else value
    assert new != old, "the other value must be another one"
    return msgspec.structs.replace(struct, **{name: new})


def test_a_model_without_widths_has_none_among_its_settings():
    settings = tiny(model={"name": "resnet", "channels": 3}).settings
    assert settings["model.channels"] == "3"
    assert "model.widths" not in settings
    assert BASE.settings["model.widths"] == "8"


def test_every_field_is_classified():
    assert set(paths(BASE)) == SCALARS.keys() | SHAPES.keys()


@pytest.mark.parametrize("path", SHAPES)
def test_another_shape_is_another_stack(path):
    assert changed(BASE, path, SHAPES[path]).stack_key != BASE.stack_key


def test_a_count_is_a_shape_and_a_scalar_beside_it_is_not():
    """free_bits_per_group has one of each; whole numbers of runs in one stack must be the same."""
    groups, floor = (
        Choice("free_bits_per_group", {"floor": floor, "groups": groups})
        for floor, groups in ((0.5, 2), (0.7, 1))
    )
    base = changed(BASE, "objective", Choice("free_bits_per_group", {"floor": 0.5, "groups": 1}))
    assert changed(base, "objective", groups).stack_key != base.stack_key
    assert changed(base, "objective", floor).stack_key == base.stack_key


@pytest.mark.parametrize("name", [n for n, entry in OBJECTIVES.items() if entry.counts])
def test_every_count_is_a_shape(name):
    entry = OBJECTIVES[name]
    hyper = {n: h.default for n, h in entry.hyper.items()}
    base = changed(BASE, "objective", Choice(name, hyper))
    for count in entry.counts:
        other = Choice(name, hyper | {count: hyper[count] + 1})
        assert changed(base, "objective", other).stack_key != base.stack_key


@pytest.mark.parametrize("path", SCALARS)
def test_another_scalar_is_the_same_stack(path):
    assert changed(BASE, path, SCALARS[path]).stack_key == BASE.stack_key


@pytest.mark.parametrize("path", [*SHAPES, *SCALARS])
def test_every_field_is_part_of_the_identity(path):
    assert changed(BASE, path, {**SHAPES, **SCALARS}[path]).id != BASE.id
