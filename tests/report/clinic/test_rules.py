"""Each rule names its illness, with its figures, and is silent on a healthy run."""

import math

import msgspec
import numpy as np
import pytest

from vaebench.report.clinic import Case, complaints, explain
from vaebench.results import Labels, Record, Training, metric
from vaebench.results.record import Metric

POINTS = 40
STEPS = [50.0 * (i + 1) for i in range(POINTS)]
FIGURES = {
    "nll": 22.5,
    "elbo": -23.0,
    "rate": 5.0,
    "distortion": 18.0,
    "bits_per_dim": 22.5 / (64 * math.log(2.0)),
    "mse": 0.07,
    "ess": 0.4,
    "khat_high": 0.08,
    "memorised": 0.0,
    "amortisation_gap": 0.2,
    "approximation_gap": 0.3,
}


def rising(end=-23.0, start=-60.0, speed=0.4):
    """A curve that has long reached its end."""
    return [end + (start - end) * math.exp(-speed * i) for i in range(POINTS)]


def case(
    status="done",
    reason="",
    curves=None,
    config=None,
    rates=(0.6,) * 8,
    extra=(),
    training=None,
    **figures,
):
    shown = FIGURES | figures
    usual = {
        "step": STEPS,
        "valid_elbo_nats": rising(),
        "rate_nats": [5.0] * POINTS,
        "distortion_nats": [18.0] * POINTS,
        "grad_norm": [3.0] * POINTS,
    }
    record = Record(
        run="0" * 16,
        study="s",
        labels=Labels("digits", "bernoulli", "elbo", "{}", "elbo", 1, "d/mass/K=1/0", "a=1", 0),
        status=status,
        reason=reason,
        metrics=[
            *(metric(name, value) for name, value in shown.items() if name not in dict(extra)),
            *(one for _, one in extra),
        ],
        curves=usual | (curves or {}),
        training=training or Training(2000, 2000, 2000),
        config={"train": {"num_steps": 2000}, "rate_weight": 1.0} | (config or {}),
    )
    return Case(record, {"rate_per_dimension by dimension": np.array(rates)})


def named(ill):
    return {finding.name: finding for finding in explain(ill)}


def test_a_healthy_run_has_nothing():
    assert explain(case()) == []


def test_a_model_from_elsewhere_without_anything_has_nothing():
    bare = msgspec.structs.replace(case().record, curves={}, metrics=[], config={}, training=None)
    assert explain(Case(bare)) == []


def test_collapse_says_since_when_and_on_which_side_of_the_warm_up():
    fallen = {"rate_nats": [5.0] * 10 + [0.01] * 30}
    warm_up = {"rate_weight": {"name": "linear", "hyper": {"over": 0.5}}}
    ill = case(rate=0.01, rates=(0.001,) * 8, curves=fallen, config=warm_up)
    evidence = named(ill)["posterior collapse"].evidence
    assert "0.01 nats in all 8 dimensions" in evidence
    assert "since step 550 or before, before the warm-up ended at step 1000" in evidence
    late = {"rate_nats": [5.0] * 30 + [0.01] * 10}
    ill = case(rate=0.01, rates=(0.001,) * 8, curves=late, config=warm_up)
    assert "after the warm-up ended" in named(ill)["posterior collapse"].evidence


def test_a_layer_above_the_first_that_carries_nothing_is_dead():
    def of_layers(*rates):
        named_rates = ((f"rate_layer_{i}", rate) for i, rate in enumerate(rates, 1))
        return [(name, Metric(name, rate, "nats", None)) for name, rate in named_rates]

    evidence = named(case(extra=of_layers(4.5, 0.5, 0.01)))["dead layers of latents"].evidence
    assert "Of the 3 layers, layer 3 carries less than 0.1 nats" in evidence
    assert "they carry 4.5, 0.5, 0.01" in evidence
    assert not named(case(extra=of_layers(0.01, 4.0, 1.0)))  # upwards, the first may be below 0


SCALE = "rate weighed on another scale than the likelihood"


@pytest.mark.parametrize(
    ("config", "figures", "said"),
    [
        (
            {"objective": {"name": "beta_elbo", "hyper": {"beta": 64.0}}},
            {"rate": 0.0, "rates": (0.0,) * 8},
            "near that of a mean over the 64 pixels",
        ),
        (
            {"objective": {"name": "beta_elbo", "hyper": {"beta": 1.0 / 64.0}}},
            {"rate": 40.0, "distortion": 12.0, "elbo": -52.0},
            "a KL that is a mean over the 64 pixels",
        ),
        (
            {"likelihood": {"name": "gaussian", "hyper": {"sigma": 1.0}}},
            {"rate": 0.2, "rates": (0.2, *(0.0,) * 7), "mse": 0.04},
            "a sigma of 0.2 would fit, so that the rate weighs 25 times too much",
        ),
        (
            {"objective": {"name": "reconstruction_only", "hyper": {}}},
            {"rate": 110.0, "distortion": 12.0, "elbo": -122.0, "nll": 118.0},
            "The rate weighs 0 times",
        ),
    ],
)
def test_a_weight_on_another_scale(config, figures, said):
    assert said in named(case(config=config, **figures))[SCALE].evidence
    assert SCALE not in named(case(config=config)), "without harm there is no complaint"


@pytest.mark.parametrize(
    ("objective", "figures"),
    [
        (
            {"name": "beta_tc", "hyper": {"alpha": 1.0, "beta": 10.0, "gamma": 1.0}},
            {"rate": 2.0, "rates": (1.0, 1.0, *(0.0,) * 6)},
        ),
        ({"name": "ciwae", "hyper": {"beta": 0.05}}, {"elbo": -27.0}),
    ],
)
def test_a_beta_that_weighs_something_else_is_no_weight_of_the_rate(objective, figures):
    assert SCALE not in named(case(config={"objective": objective}, **figures))


def test_unused_dimensions_are_those_that_carry_nothing():
    evidence = named(case(rates=(0.6, 0.0, 0.7, 0.001)))["unused dimensions of the code"].evidence
    assert "2 of 4 dimensions" in evidence and evidence.endswith("1, 3.")
    assert not named(case(rates=(0.6, 0.5, 0.7, 0.001)))


def test_a_gap_is_the_encoders_where_it_is_the_larger():
    name = "an amortisation gap"
    assert named(case(amortisation_gap=3.0))[name].evidence.startswith("Moving each image's")
    assert name not in named(case(amortisation_gap=3.0, approximation_gap=4.0))
    assert name not in named(case(amortisation_gap=math.nan))


def test_copies_are_named_unless_real_images_look_so_too():
    def with_reference(real):
        return case(extra=[("memorised", Metric("memorised", 0.3, "share", False, reference=real))])

    assert "30%" in named(with_reference(0.01))["memorised images"].evidence
    assert not named(with_reference(0.2))


def test_an_nll_is_doubted_for_many_examples_and_not_for_some():
    def doubted(share):
        nll = Metric("nll", 22.5, "nats", False, trust="k-hat above 0.63")
        return case(extra=[("nll", nll)], khat_high=share)

    assert "k-hat above 0.63" in named(doubted(0.6))["an NLL not to be trusted"].evidence
    assert not named(doubted(0.1))


def test_the_first_term_to_go():
    lost = {"distortion_nats": [18.0] * 37 + [None] * 3, "grad_norm": [3.0] * 38 + [None] * 2}
    ill = case("diverged", "the loss was not finite at step 1860", lost)
    evidence = named(ill)["divergence"].evidence
    assert "The loss was not finite at step 1860; the distortion was the first" in evidence
    assert "by step 1900" in evidence
    grown = {"rate_nats": [5.0] * 39 + [5e5]}
    assert "the rate had grown most" in named(case("diverged", "r", grown))["divergence"].evidence
    early = case("diverged", "r", {name: [] for name in case().record.curves})
    assert "before the first point" in named(early)["divergence"].evidence


def test_training_that_ended_too_early():
    still = named(case(curves={"valid_elbo_nats": rising(speed=0.03)}))
    assert set(still) == {"training ended too early"}
    assert "ended at step 2000" in still["training ended too early"].evidence


def test_overfitting_is_a_fall_in_validation_alone():
    fallen = rising()[:20] + [-23.0 - 0.5 * i for i in range(20)]
    better = {"distortion_nats": [18.0 - 0.2 * i for i in range(POINTS)]}
    ill = {"valid_elbo_nats": fallen}
    assert "of step 10" in named(case(curves=ill | better))["overfitting"].evidence
    assert "overfitting" not in named(case(curves=ill)), "training fell too"
    kept = Training(2000, 2000, 1000)
    assert "overfitting" not in named(case(curves=ill | better, training=kept))


def test_complaints_count_runs_and_keep_to_the_order_of_names():
    sick = case(rate=0.01, rates=(0.0,) * 8).record
    records = [msgspec.structs.replace(sick, run=f"{i:016x}") for i in range(3)]
    records.append(msgspec.structs.replace(case().record, run=f"{3:016x}"))
    names = {one.run: ("T", "b" if i < 1 else "a") for i, one in enumerate(records)}
    every = complaints({one.run: explain(Case(one)) for one in records}, names)
    assert [(one.variant, one.name, one.extent) for one in every] == [
        ("b", "posterior collapse", "1 of 1 run"),
        ("a", "posterior collapse", "2 of 3 runs"),
    ]
