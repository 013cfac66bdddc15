"""What is searched for a variant, and what is refused before anything is trained."""

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from tests.running.sweeps.conftest import RANGE, piwae
from vaebench.core.errors import InputError
from vaebench.running.sweeps.variants import variants_of

RISING = "rate_weight.rising = { low = 0.1, high = 0.9 }"


def space_of(study):
    return variants_of(study)[0].space.distributions


@pytest.mark.parametrize(
    ("place", "limits", "distribution"),
    [
        ("train.batch_size", "low = 4, high = 16, log = true", IntDistribution(4, 16, log=True)),
        ("model.latent_dim", "low = 2, high = 8", IntDistribution(2, 8)),
        ("num_samples", "low = 1, high = 4", IntDistribution(1, 4)),
        ("train.patience", "low = 3, high = 9", IntDistribution(3, 9)),
        ("train.weight_decay", "low = 0, high = 1", FloatDistribution(0.0, 1.0)),
        ("rate_weight", "low = 0, high = 1", FloatDistribution(0.0, 1.0)),
        ("objective.beta", "low = 1, high = 2", FloatDistribution(1.0, 2.0)),
    ],
)
@pytest.mark.parametrize("quote", ['"', ""])
def test_whole_numbers_are_searched_for_fields_of_whole_numbers(
    study, place, limits, distribution, quote
):
    tuned = study("nll", (RANGE, f"{quote}{place}{quote} = {{ {limits} }}"))
    assert space_of(tuned)[place] == distribution


@pytest.mark.parametrize(
    ("wish", "place", "choices", "values"),
    [
        ("model.latent_dim = [2, 8]", "model.latent_dim", (2, 8), [2, 8]),
        ("model.widths = [[8], [8, 4]]", "model.widths", ("8", "8,4"), [[8], [8, 4]]),
        ('train.keep = ["last", "best"]', "train.keep", ("last", "best"), ["last", "best"]),
        (
            'objective = ["elbo", { name = "beta_elbo", beta = 2.0 }]',
            "objective",
            ("elbo", "name=beta_elbo beta=2.0"),
            ["elbo", {"name": "beta_elbo", "beta": 2.0}],
        ),
    ],
)
def test_a_list_is_searched_as_choices(study, wish, place, choices, values):
    (variant,) = variants_of(study("nll", (RANGE, wish)))
    assert variant.space.distributions[place] == CategoricalDistribution(choices)
    assert [variant.space.values({place: c})[place] for c in choices] == values
    assert "objective.beta" not in variant.space.distributions or place != "objective"


def test_the_learning_rate_is_searched_by_default(study):
    assert space_of(study("nll", (RANGE, "")))["train.learning_rate"] == FloatDistribution(
        1e-4, 1e-2, log=True
    )
    fixed = space_of(study("nll", (RANGE, "train.learning_rate = [3e-3]")))
    assert fixed["train.learning_rate"] == CategoricalDistribution((3e-3,))


def test_the_parameters_of_a_schedule_are_searched(study):
    tuned = study(
        "nll",
        ('"beta_elbo"', '"beta_elbo"\nrate_weight = { name = "cyclical" }'),
        (RANGE, "rate_weight.cycles = { low = 1, high = 4 }\n" + RISING),
    )
    space = space_of(tuned)
    assert space["rate_weight.cycles"] == IntDistribution(1, 4)
    assert space["rate_weight.rising"] == FloatDistribution(0.1, 0.9)


def test_a_schedule_is_left_alone(study):
    scheduled = study("nll", ('"beta_elbo"', '{ name = "beta_elbo", beta = { name = "linear" } }'))
    assert set(space_of(scheduled)) == {"train.learning_rate"}


def test_an_end_is_refused_only_where_no_other_end_allows_it(study):
    tuned = piwae(
        study,
        ("num_samples = 4", "num_samples = 2"),
        ('"objective.groups"', 'num_samples = { low = 2, high = 4 }\n"objective.groups"'),
    )
    assert space_of(tuned)["objective.groups"] == IntDistribution(1, 4)
    with pytest.raises(InputError, match=r"'objective.groups' at 3 is not"):
        space_of(piwae(study, ("high = 4", "high = 3")))


def test_a_hyperparameter_is_searched_for_the_variants_that_have_it(study):
    two = study(
        "nll",
        ("seed = [0, 1]", 'seed = [0]\nobjective = ["beta_elbo", "elbo"]'),
        (RANGE, "objective.beta = { low = 1, high = 2 }"),
    )
    first, second = variants_of(two)
    assert first.space.distributions["objective.beta"] == FloatDistribution(1.0, 2.0)
    assert set(second.space.distributions) == {"train.learning_rate"}


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (("train.learning_rate", "train.lerning_rate"), "did you mean 'learning_rate'"),
        (("train.learning_rate", "learning_rate"), "did you mean 'train.learning_rate'"),
        (("train.learning_rate", "objective.bet"), "did you mean 'objective.beta'"),
        (("low = 1e-4", "low = 1.0"), "needs low < high.* for 'train.learning_rate'"),
        (("low = 1e-4", "low = -1.0"), "must be a number above 0"),
        ((RANGE, "train.weight_decay = { low = 0, high = 1, log = true }"), "above 0 if log"),
        ((RANGE, "train.batch_size = { low = 1.5, high = 4.0 }"), "must be a whole number"),
        ((RANGE, "model.latent_dim = []"), "needs choices; the list is empty"),
        ((RANGE, "model.latent_dim = [2, 2]"), "must have choices that differ"),
        (
            (RANGE, "model.latent_dim = [2, 0]"),
            "'model.latent_dim' at 0: model.latent_dim must be a whole number of at least 1",
        ),
        ((RANGE, 'likelihood = ["bernoulli", "gaussian_learned"]'), "share one observation space"),
        ((RANGE, 'data.binarisation = ["none", "static"]'), "cannot be searched: trials are comp"),
        ((RANGE, "seed = [0, 1]"), "cannot be searched: every trial has the seeds of the axes"),
        (
            (RANGE, 'objective = ["beta_elbo", "elbo"]\n"objective.beta" = { low = 1, high = 2 }'),
            "'objective.beta' lies within 'objective'",
        ),
    ],
)
def test_a_bad_space_is_named(study, edit, message):
    with pytest.raises(InputError, match=message):
        variants_of(study("nll", edit))
