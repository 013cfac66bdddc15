"""Which runs share a compiled step."""

import pytest
import torch

from tests.support import ROOT
from tests.support.graphs import history
from tests.support.runs import run_config
from vaebench.config.build import load_data
from vaebench.config.study import expand, read
from vaebench.objectives import OBJECTIVES
from vaebench.training.kind import general, step_kind
from vaebench.training.stepping.eager import eager

CASES = [name for name, entry in OBJECTIVES.items() if entry.case_of]


def kind(*arguments, **more):
    config = run_config(*arguments, **more)
    return step_kind(config, load_data(config.data))


def test_scalars_schedules_and_seeds_make_no_other_kind():
    warm_up = {"name": "linear", "over": 0.5}
    beta = {"name": "beta_elbo", "beta": 0.5}
    assert kind(beta) == kind("beta_elbo", seed=3, rate_weight=warm_up, learning_rate=0.1)


@pytest.mark.parametrize(
    "other",
    [
        {"likelihood": "gaussian_learned"},
        {"num_samples": 2},
        {"batch_size": 8},
        {"precision": "bfloat16"},
        {"posterior": "iaf", "objective": "elbo_mc"},
        {"model": {"name": "mlp", "widths": [5]}},
        {"objective": {"name": "free_bits_per_group", "groups": 2}},
    ],
)
def test_another_operation_or_shape_is_another_kind(other):
    usual = {"objective": "elbo", "likelihood": "bernoulli"}
    assert kind(**usual | other) != kind(**usual)


def test_counts_make_another_kind():
    groups = [{"name": "free_bits_per_group", "groups": groups} for groups in (1, 2)]
    assert kind(groups[0]) != kind(groups[1])


def test_the_default_study_has_six_graphs():
    """For each of two likelihoods one of K = 5, one of the sampled KL, one of the others."""
    study = read(ROOT / "benchmarks" / "studies" / "digits.toml")
    kinds = {step_kind(config, load_data(config.data)) for config in expand(study)}
    assert len(kinds) == 6


@pytest.mark.parametrize("name", CASES)
def test_a_case_takes_the_same_steps_to_the_last_bit(name):
    case = OBJECTIVES[name].case_of
    general = {"name": case.other, **case.at}
    assert not OBJECTIVES[name].hyper, "a case has no hyperparameters of its own"
    both = [
        history([run_config(each, num_steps=10)], eager, torch.float32) for each in (name, general)
    ]
    torch.testing.assert_close(both[0].__dict__, both[1].__dict__, rtol=0.0, atol=0.0)


def test_without_a_closed_form_of_the_kl_there_is_no_case():
    config = run_config("reconstruction_only", posterior="iaf")
    assert general(config).objective.name == "reconstruction_only"
    assert general(run_config("reconstruction_only")).objective.name == "beta_elbo"
