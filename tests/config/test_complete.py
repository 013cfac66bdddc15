"""RunConfig: complete, checked, hashed."""

import msgspec
import pytest

from tests.support.runs import tiny
from vaebench.config import Choice, completed, parse
from vaebench.core.errors import InputError

BASE = {"objective": "elbo", "likelihood": "bernoulli"}


def test_defaults_are_written_out():
    config = parse({**BASE, "objective": "beta_elbo"})
    assert config.objective == Choice("beta_elbo", {"beta": 4.0})
    assert parse({**BASE, "objective": {"name": "beta_elbo", "beta": 4}}).id == config.id


def test_schedules_are_completed_and_named():
    config = parse({**BASE, "rate_weight": {"name": "linear", "over": 0.5}})
    assert config.rate_weight == Choice("linear", {"start": 0.0, "stop": 1.0, "over": 0.5})
    assert config.variant == "elbo, rate weight linear(over=0.5)"
    assert parse({**BASE, "objective": "iwae", "num_samples": 5}).variant == "iwae K=5"


def test_posterior_and_prior_are_named_where_they_are_not_the_usual_ones():
    assert tiny().posterior == Choice("diagonal_gaussian")
    assert tiny().prior == Choice("standard_normal")
    assert tiny(posterior="diagonal_gaussian", prior="standard_normal").id == tiny().id
    assert tiny(objective="elbo_mc", posterior="iaf", prior="vamp").variant == "elbo_mc, iaf, vamp"
    codes = tiny(posterior="categorical", prior="uniform_categorical")
    assert codes.posterior.hyper == {"temperature": 0.5}
    assert codes.variant == "elbo, categorical(temperature=0.5), uniform_categorical"


def test_json_round_trip_keeps_the_id():
    config = tiny(objective={"name": "beta_elbo", "beta": {"name": "linear", "stop": 4.0}})
    decoded = msgspec.json.decode(msgspec.json.encode(config), type=type(config))
    assert decoded == config
    assert decoded.id == config.id


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"num_samples": 2},
        {"objective": {"name": "beta_elbo", "beta": 1.0}},
        {"rate_weight": 0.5},
        {"model": {"widths": [9]}},
        {"train": {"num_steps": 13}},
        {"evaluate": {"num_samples": 6}},
        {"data": {"name": "digits", "binarisation": "threshold"}},
        {"data": {"name": "digits", "binarisation": "dynamic", "split_seed": 1}},
        {"data": {"name": "digits", "binarisation": "dynamic", "fingerprint": "0" * 16}},
    ],
    ids=str,
)
def test_everything_that_changes_numbers_changes_the_id(change):
    assert tiny(**change).id != tiny().id


def test_the_folder_of_a_data_file_does_not_count_but_its_bytes_do():
    def at(path, fingerprint):
        return tiny(data={"name": path, "fingerprint": fingerprint})

    assert at("/a/mine.npz", "1").id == at("/b/mine.npz", "1").id
    assert at("/a/mine.npz", "1").id != at("/a/mine.npz", "2").id


def test_runs_stack_that_differ_in_seed_and_scalars_only():
    first = tiny(objective={"name": "beta_elbo", "beta": 1.0})
    alike = tiny(
        objective={"name": "beta_elbo", "beta": {"name": "linear"}},
        seed=3,
        rate_weight=0.5,
        train={"num_steps": 12, "batch_size": 16, "learning_rate": 0.1},
    )
    assert alike.stack_key == first.stack_key
    assert tiny().stack_key != first.stack_key
    assert tiny(num_samples=2).stack_key != tiny().stack_key


def test_observation_spaces_keep_mass_and_density_apart():
    spaces = {
        tiny().observation_space,
        tiny(likelihood="gaussian_learned").observation_space,
        tiny(data={"name": "digits", "binarisation": "threshold"}).observation_space,
        tiny(data={"name": "digits", "binarisation": "dynamic", "split_seed": 1}).observation_space,
    }
    assert len(spaces) == 4
    sigma = tiny(likelihood={"name": "gaussian", "sigma": 0.1})
    assert sigma.observation_space == tiny(likelihood="gaussian_learned").observation_space


def test_densities_of_dequantised_images_are_ranked_with_each_other_alone():
    data = {"name": "digits", "dequantise": True}
    grey = {"name": "digits"}
    laplace = {"name": "laplace", "scale": 0.1}
    space = tiny(likelihood="beta", data=data).observation_space
    assert space == tiny(likelihood=laplace, data=data).observation_space
    assert "/dequantised/mass/" in space
    others = {
        tiny(likelihood=laplace, data=grey).observation_space,
        tiny(likelihood="discretised_logistic", data=grey).observation_space,
        tiny().observation_space,
    }
    assert len(others) == 3
    assert space not in others


BAD = {
    "objective": ({"objective": "elbow"}, "unknown objective 'elbow'; did you mean 'elbo'"),
    "likelihood": ({"likelihood": "bernouli"}, "did you mean 'bernoulli'"),
    "model": ({"model": {"name": "mpl"}}, "did you mean 'mlp'"),
    "models": ({"model": {"name": ["mlp", "conv"]}}, r'\[axes\] "model.name" = '),
    "no hyperparameters": (
        {"model": {"hyper": 3}},
        "model must be a table; got 3",
    ),
    "posterior": ({"posterior": "ifa"}, "did you mean 'iaf'"),
    "prior": ({"prior": "wamp"}, "did you mean 'vamp'"),
    "posterior hyper": (
        {"posterior": {"name": "iaf", "steps": 3}},
        "posterior 'iaf' has no hyperparameter 'steps'",
    ),
    "temperature": (
        {
            "posterior": {"name": "categorical", "temperature": 0.0},
            "prior": "uniform_categorical",
        },
        "temperature must be",
    ),
    "prior hyper": ({"prior": {"name": "vamp", "components": 3}}, "has no hyperparameter 'comp"),
    "classes": (
        {"model": {"num_classes": 1}},
        "model.num_classes must be a whole number of at least 2",
    ),
    "flow steps": (
        {"model": {"flow_steps": 0}},
        "flow_steps must be a whole number of at least 1; got 0",
    ),
    "components": (
        {"model": {"num_components": 0}},
        "components must be a whole number of at least 1; got 0",
    ),
    "dequantise": (
        {"data": {"dequantise": "yes"}},
        "data.dequantise must be true or false; got 'yes'",
    ),
    "schedule": ({"rate_weight": {"name": "linera"}}, "did you mean 'linear'"),
    "hyper": ({"objective": {"name": "beta_elbo", "bet": 1.0}}, "did you mean 'beta'"),
    "no hyper": ({"objective": {"name": "elbo", "beta": 1.0}}, "no hyperparameter 'beta'"),
    "missing": ({"likelihood": "gaussian"}, "needs a value for 'sigma'"),
    "range": ({"objective": {"name": "beta_elbo", "beta": -1.0}}, "beta must be"),
    "nan": ({"objective": {"name": "beta_elbo", "beta": float("nan")}}, "beta must be"),
    "scheduled range": (
        {"objective": {"name": "beta_elbo", "beta": {"name": "linear", "stop": -1.0}}},
        "beta must be",
    ),
    "key": ({"train": {"lerning_rate": 0.1}}, "did you mean 'learning_rate'"),
    "type": (
        {"train": {"num_steps": "many"}},
        "train.num_steps must be a whole number; got 'many'",
    ),
    "K": ({"num_samples": 0}, "num_samples must be a whole number of at least 1; got 0"),
    "width": (
        {"model": {"widths": [8, 0]}},
        r"model.widths\[1\] must be a whole number of at least 1; got 0",
    ),
    "section": ({"data": "digits"}, "data must be a table; got 'digits'"),
    "name": ({"objective": 3}, "objective must be a table; got 3"),
    "infinite": (
        {"train": {"learning_rate": float("inf")}},
        "learning_rate must be a finite number; got inf",
    ),
    "infinite beta": ({"objective": {"name": "beta_elbo", "beta": float("inf")}}, "beta must be"),
    "nll K": ({"evaluate": {"num_samples": 0}}, "must be a whole number of at least 1"),
    "binarisation": ({"data": {"binarisation": "dynamc"}}, "dynamc"),
    "ignored": ({"objective": "reconstruction_only", "rate_weight": 0.5}, "ignores the rate"),
    "widths": ({"model": {"name": "linear"}}, "no hidden layers"),
    "sigma schedule": (
        {"likelihood": {"name": "gaussian", "sigma": {"name": "linear"}}},
        "has no schedule",
    ),
    "nameless": ({"objective": {"beta": 1.0}}, "objective needs a name"),
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_configurations_are_named(fault):
    change, message = BAD[fault]
    with pytest.raises(InputError, match=message):
        parse({**BASE, **change})


@pytest.mark.parametrize("field", [{"precision": "bf16"}, {"patience": 0}, {"weight_decay": -1.0}])
def test_a_configuration_made_in_python_is_checked_too(field):
    config = tiny()
    train = msgspec.structs.replace(config.train, **field)
    with pytest.raises(InputError, match=next(iter(field))):
        completed(msgspec.structs.replace(config, train=train))
