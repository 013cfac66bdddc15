"""The layers of a hierarchy in a study: completed, part of a run's id, and refused in one line."""

import pytest

from tests.support.runs import tiny
from vaebench.core.errors import InputError

LAYERED = {"objective": "elbo_mc", "posterior": "hierarchical", "prior": "hierarchical"}
LADDER = LAYERED | {"posterior": "ladder"}


def layered(**model):
    return tiny(**LAYERED, model=model)


def test_layers_are_completed_from_the_code_or_the_code_from_the_layers():
    halves, stated = layered(latent_dim=5, widths=[7]), layered(layer_dims=[8, 4, 2], widths=[7])
    assert halves.model.layer_dims == (3, 2)
    assert halves.model.layer_widths == ((7,),)
    assert stated.model.latent_dim == 14
    assert stated.model.layer_widths == ((7,), (7,))
    assert layered(layer_dims=[8, 4], layer_model="linear").model.layer_widths == ((),)
    assert tiny(**LAYERED, model={"latent_dim": 1}).model.layer_dims == (1,)


def test_layers_are_part_of_the_id_and_the_settings_where_there_are_any():
    configs = [
        layered(layer_dims=[8, 4]),
        layered(layer_dims=[4, 8]),
        layered(layer_dims=[8, 4], layer_widths=[[16, 8]]),
        layered(layer_dims=[8, 4], layer_skip=True),
        layered(layer_dims=[8, 4], layer_model="linear"),
        tiny(**LADDER, model={"layer_dims": [8, 4]}),
        tiny(**LADDER, model={"layer_dims": [8, 4], "layer_features": [16, 8]}),
        tiny(**LADDER, model={"layer_dims": [8, 4], "layer_features": [8, 16]}),
        tiny(**LADDER, model={"layer_dims": [8, 4], "norm": "batch"}),
    ]
    assert len({config.id for config in configs}) == len(configs)
    assert len({config.stack_key for config in configs}) == len(configs)
    assert configs[2].settings["model.layer_widths"] == "16-8"
    assert not [name for name in tiny().settings if "layer" in name]


REFUSED = {
    "widths for another number of layers": (
        {"layer_dims": [8, 4, 2], "layer_widths": [[16]]},
        r"widths of 2 networks, one between each two of the layers \[8, 4, 2\]; got 1",
    ),
    "a layer of width 0": (
        {"layer_dims": [8, 0]},
        r"model.layer_dims\[1\] must be a whole number of at least 1; got 0",
    ),
    "another sum": ({"layer_dims": [8, 4], "latent_dim": 10}, r"sum of .*\[8, 4\]; got 10: leave"),
    "one number for widths": (
        {"layer_widths": [16]},
        r"layer_widths\[0\] must be a list; got 16: write",
    ),
    "images": (
        {"layer_model": "conv"},
        "'conv' is refused between layers of 4 and 4: it needs images.* choose 'mlp'",
    ),
    "features of a posterior that leads up": (
        {"layer_features": [8, 8]},
        "layer_features is for posterior 'ladder', whose .* 'hierarchical' leads .*: leave it out",
    ),
    "widths of linear": (
        {"layer_model": "linear", "layer_widths": [[3]]},
        "'linear' is refused between .* no hidden layers",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_layers_that_do_not_fit_are_refused(what):
    model, message = REFUSED[what]
    with pytest.raises(InputError, match=message):
        layered(**model)


OF_LADDERS = {
    "features of another number of layers": (
        {"layer_dims": [8, 4, 2], "layer_features": [8, 4]},
        r"numbers of 3 deterministic layers, .* \[8, 4, 2\]; got 2: \[8, 4\]",
    ),
    "a deterministic layer of width 0": (
        {"layer_dims": [8, 4], "layer_features": [8, 0]},
        r"model.layer_features\[1\] must be a whole number of at least 1; got 0",
    ),
    "another normalisation": ({"norm": "layer"}, "'mlp': norm must be .*batch.*; got 'layer'"),
    "normalised convolutions": (
        {"name": "conv", "widths": [4], "norm": "batch"},
        "unknown field 'norm' - at 'model'; only another model.name has it; known: ",
    ),
}


@pytest.mark.parametrize("what", OF_LADDERS)
def test_deterministic_layers_that_do_not_fit_are_refused(what):
    model, message = OF_LADDERS[what]
    with pytest.raises(InputError, match=message):
        tiny(**LADDER, model=model)


@pytest.mark.parametrize(
    "train, message",
    [
        ({"batch_size": 1}, "norm = 'batch' needs examples .*batch_size must be at least 2; got 1"),
        ({"accumulate": 2}, "'mlp' is normalised over a whole batch: raise train.batch_size"),
    ],
)
def test_normalisation_needs_a_whole_batch(train, message):
    with pytest.raises(InputError, match=message):
        tiny(model={"norm": "batch"}, train=train)


def test_layers_without_a_hierarchy_and_a_closed_form_that_is_none_are_refused():
    with pytest.raises(InputError, match=r"model\.layer_skip is for .* have one layer: remove it"):
        tiny(model={"layer_skip": True})
    with pytest.raises(InputError, match=r"'elbo' is refused: KL.* no closed form .*hierarchical"):
        tiny(**LAYERED | {"objective": "elbo"})


WEIGHTS = {
    "another number of layers": ({"rate_weight": [1.0, 0.5, 1.0]}, r"layers \[1, 1\]; got 3"),
    "no number": ({"rate_weight": [1.0, {"name": "linea"}]}, r"rate_weight\[1\] .*'linear'"),
    "below 0": ({"rate_weight": [1.0, -1.0]}, r"rate_weight\[1\] must be finite, in \[0"),
    "one layer": (
        {"rate_weight": [1.0], "posterior": "diagonal_gaussian", "prior": "standard_normal"},
        "where posterior and prior both have layers; got .* give one number",
    ),
    "an objective of the whole": (
        {"rate_weight": [1.0, 0.5], "objective": "elbo_low_variance"},
        "'elbo_low_variance' is refused: the rate has a weight for each layer",
    ),
}


@pytest.mark.parametrize("what", WEIGHTS)
def test_weights_of_layers_that_do_not_fit_are_refused(what):
    changes, message = WEIGHTS[what]
    with pytest.raises(InputError, match=message):
        tiny(**LAYERED | changes)


def test_weights_of_layers_are_named_and_make_another_run():
    one, each = tiny(**LAYERED), tiny(**LAYERED, rate_weight=[1.0, {"name": "linear", "over": 0.5}])
    assert each.variant == "elbo_mc, rate weight 1 / linear(over=0.5), hierarchical, hierarchical"
    assert each.id != one.id
    assert each.stack_key != one.stack_key
