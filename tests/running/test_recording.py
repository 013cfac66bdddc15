"""The labels of a run: lines of two runs that differ are told apart."""

import msgspec
import pandas as pd
import pytest

from tests.support.runs import tiny
from vaebench.config import Choice
from vaebench.config.sections import DataConfig, EvaluateConfig, ModelConfig, TrainConfig
from vaebench.report.labels import told_apart
from vaebench.running.recording import labels

CHANGED = {
    "objective": Choice("beta_elbo", {"beta": 4.0}),
    "likelihood": Choice("continuous_bernoulli"),
    "posterior": Choice("categorical", {"temperature": 0.4}),
    "prior": Choice("vamp"),
    "num_samples": 7,
    "rate_weight": 0.5,
    "seed": 3,
    "plugin": "7ff0",
    "data": {
        "name": "other",
        "values": None,  # with the columns, a part of the fingerprint
        "columns": None,
        "test_fraction": 0.3,
        "binarisation": "threshold",
        "valid_fraction": 0.2,
        "split_seed": 4,
        "dequantise": True,
        "standardise": True,
        "library_size": True,
        "fingerprint": "f" * 16,
    },
    "model": {
        "name": "linear",
        "latent_dim": 9,
        "widths": (9,),
        "num_classes": 9,
        "flow_steps": 9,
        "num_components": 9,
        "layer_dims": (1, 1),
        "layer_widths": ((4,),),
        "layer_model": "linear",
        "layer_skip": True,
        "layer_features": (4,),
        "hyper": {"norm": "batch"},
    },
    "train": {
        "num_steps": 13,
        "batch_size": 17,
        "accumulate": 2,
        "learning_rate": 0.00112345678,
        "max_grad_norm": 1.0,
        "weight_decay": 0.1,
        "beta1": 0.8,
        "beta2": 0.9,
        "epsilon": 1e-7,
        "second_moment": 1.0,
        "ema": 0.9,
        "patience": 3,
        "keep": "best",
        "precision": "bfloat16",
    },
    "evaluate": {
        "num_samples": 6,
        "num_images": 41,
        "extractor": "pixels",
        "gradings": (Choice("likelihood"),),
    },
}
"""Another value than that of `BASE`, by field; None: it is told by another one."""
SECTIONS = {
    "data": DataConfig,
    "model": ModelConfig,
    "train": TrainConfig,
    "evaluate": EvaluateConfig,
}
BASE = tiny()
PLACES = [
    (section, field)
    for section, changed in CHANGED.items()
    for field in (changed if section in SECTIONS else ("",))
    if not field or changed[field] is not None
]


def changed(section, field):
    value = CHANGED[section]
    if field:
        fields = {field: value[field]}
        value = msgspec.structs.replace(getattr(BASE, section), **fields)
    return msgspec.structs.replace(BASE, **{section: value})


def lines(*configs):
    """What people are shown of each run beside its id and figures."""
    rows = pd.DataFrame([msgspec.structs.asdict(labels(c, c.seed)) for c in configs])
    shown = ["dataset", "likelihood", "variant", "settings", "seed"]
    return list(told_apart(rows)[shown].itertuples(index=False, name=None))


def test_every_field_of_a_configuration_has_another_value_here():
    assert set(CHANGED) == set(BASE.__struct_fields__)
    for section, fields in SECTIONS.items():
        assert set(CHANGED[section]) == set(fields.__struct_fields__)


@pytest.mark.parametrize(("section", "field"), PLACES)
def test_runs_that_differ_in_one_field_have_two_lines(section, field):
    other = changed(section, field)
    assert BASE.id != other.id
    of_base, of_other = lines(BASE, other)
    assert of_base != of_other


def test_lines_of_all_of_them_differ():
    runs = [changed(*place) for place in PLACES if place[0] != "seed"]
    shown = lines(BASE, *runs)
    assert len(set(shown)) == len(shown)


def test_a_hyperparameter_of_many_digits_is_another_variant():
    def variant(beta):
        return tiny(objective={"name": "beta_elbo", "beta": beta}).variant

    assert variant(4.00000001) == "beta_elbo(beta=4.00000001)" != variant(4.0)
    assert variant(4.0) == "beta_elbo(beta=4)"
