"""Verdicts on made-up records, whose answers are known."""

import math

import msgspec
import pytest
from scipy import stats

from tests.support import SHARED_DATA
from vaebench.data import load
from vaebench.reproduction import Evidence, Verdict, judge, overall
from vaebench.reproduction.evidence import PUBLISHED
from vaebench.reproduction.rule import Outcome, over
from vaebench.reproduction.statements import (
    Difference,
    Exact,
    Lower,
    Slope,
    Unbeaten,
    Value,
)
from vaebench.results import Labels, Metric, Record

T2 = 12.706204736
"""The 97.5% quantile of Student's t with one degree of freedom."""


def run(seed, nll, objective="elbo", protocol="test, K=100", status="done", hyper=None):
    """A record with one figure."""
    labels = Labels("digits", "bernoulli", objective, "{}", objective, 1, "space", "", seed)
    return Record(
        run=f"{seed:016x}",
        study="made up",
        labels=labels,
        status=status,
        reason="the loss is NaN" if status != "done" else "",
        metrics=[Metric("nll", nll, "nats", False, protocol)],
        config={"objective": {"name": objective, "hyper": hyper or {}}, "seed": seed},
    )


def value(published, tolerance=1.0, **more):
    return Value(says="s", protocol="test, K=100", published=published, tolerance=tolerance, **more)


def of(*records):
    return Evidence(records=records)


PAIR = of(run(0, 99.9), run(1, 100.1))
"""Mean 100, standard error 0.1: the interval reaches 12.7 standard errors to either side."""


def test_the_interval_is_students():
    interval = over({0: 99.9, 1: 100.1})
    assert interval.mean == pytest.approx(100.0)
    assert interval.high - interval.mean == pytest.approx(0.1 * T2)


def test_a_published_error_widens_the_interval():
    interval = over({0: 99.9, 1: 100.1}, spread=2.0)
    assert interval.mean - interval.low == pytest.approx(math.hypot(0.1 * T2, 1.959964 * 2.0))


@pytest.mark.parametrize(
    "published, tolerance, verdict",
    [
        (100.0, 1.3, Verdict.REPRODUCED),  # 1.27 to either side
        (100.0, 1.2, Verdict.NOT_COMPARABLE),
        (102.0, 0.7, Verdict.NOT_REPRODUCED),  # -3.27 to -0.73
        (98.0, 0.7, Verdict.NOT_REPRODUCED),
        (102.0, 0.8, Verdict.NOT_COMPARABLE),
        (102.0, 3.3, Verdict.REPRODUCED),
    ],
)
def test_a_value_is_equal_where_its_whole_interval_is_within_the_tolerance(
    published, tolerance, verdict
):
    outcome = judge(value(published, tolerance), PAIR)
    assert outcome.verdict == verdict
    assert outcome.difference == pytest.approx(100.0 - published)
    assert outcome.ours == pytest.approx(100.0)
    assert outcome.values == {"0": 99.9, "1": 100.1}


@pytest.mark.parametrize(
    "evidence, reason",
    [
        (of(), "there is no run of the study"),
        (of(run(0, 100.0)), "one seed has no interval"),
        (of(run(0, 100.0), run(1, 100.0, status="diverged")), "seed 1, diverged: the loss is NaN"),
        (of(run(0, None), run(1, 100.0)), "seed 0, has no nll"),
        (
            of(run(0, 100.0), run(1, 100.0, protocol="test, K=5000")),
            "graded by 'test, K=5000', the claim's protocol is 'test, K=100'",
        ),
        (of(run(0, 100.0), run(0, 100.0, "iwae")), "selects several runs of seed 0"),
    ],
)
def test_what_cannot_be_compared_says_why(evidence, reason):
    outcome = judge(value(100.0), evidence)
    assert outcome.verdict == Verdict.NOT_COMPARABLE
    assert reason in outcome.reason
    assert (outcome.published, outcome.ours) == (100.0, None)


def test_other_data_than_were_published_are_not_comparable():
    seen = {"data": {"name": "mnist", "fingerprint": "0" * 16}}
    other = of(*(msgspec.structs.replace(r, config=r.config | seen) for r in PAIR.records))
    assert "saw another mnist than was published" in judge(value(100.0), other).reason


@pytest.mark.parametrize("name, fingerprint", PUBLISHED.items())
@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="needs the published files")
def test_published_data_have_their_fingerprints(monkeypatch, name, fingerprint):
    monkeypatch.setenv("VAEBENCH_DATA", str(SHARED_DATA))
    assert load(name, "none").fingerprint == fingerprint


GAIN = {"says": "s", "protocol": "test, K=100", "of": {"objective": "iwae"}}
SEEDS = (0, 1, 2)


def pairs(differences, missing=()):
    """Runs of two objectives whose seeds differ by far more than the objectives do."""
    level = (90.0, 100.0, 110.0)
    runs = [run(s, level[s]) for s in SEEDS]
    runs += [run(s, level[s] + differences[s], "iwae") for s in SEEDS if s not in missing]
    return of(*runs)


@pytest.mark.parametrize(
    "published, verdict",
    [(-1.0, Verdict.REPRODUCED), (-2.0, Verdict.NOT_REPRODUCED), (-1.3, Verdict.NOT_COMPARABLE)],
)
def test_a_difference_is_paired_by_seed(published, verdict):
    minus = {"objective": "elbo"}
    stated = Difference(**GAIN, minus=minus, published=published, tolerance=0.3)
    outcome = judge(stated, pairs((-0.9, -1.0, -1.1)))
    assert outcome.verdict == verdict
    assert outcome.ours == pytest.approx(-1.0)


@pytest.mark.parametrize(
    "differences, verdict",
    [
        ((-0.9, -1.0, -1.1), Verdict.REPRODUCED),
        ((0.9, 1.0, 1.1), Verdict.NOT_REPRODUCED),
        ((-1.0, 0.0, 0.9), Verdict.NOT_COMPARABLE),
    ],
)
def test_lower_asks_for_the_sign_alone(differences, verdict):
    stated = Lower(**GAIN, minus={"objective": "elbo"})
    assert judge(stated, pairs(differences)).verdict == verdict


def test_a_seed_that_one_side_lacks_is_named():
    outcome = judge(Lower(**GAIN, minus={"objective": "elbo"}), pairs((-1.0,) * 3, missing=(1,)))
    assert outcome.verdict == Verdict.NOT_COMPARABLE
    assert "seed 1 is missing" in outcome.reason


def rivals(*levels):
    """Three seeds of the one that is claimed to be best, at 100, and of others at these levels."""
    noise = (-0.01, 0.0, 0.01)
    runs = [run(s, 100.0 + 5 * s) for s in SEEDS]
    runs += [
        run(s, level + 5 * s + noise[s], "beta_elbo", hyper={"beta": float(i)})
        for i, level in enumerate(levels)
        for s in SEEDS
    ]
    named = [msgspec.structs.replace(r, labels=labelled(r)) for r in runs]
    return of(*named)


def labelled(record):
    beta = record.config["objective"]["hyper"].get("beta")
    return msgspec.structs.replace(record.labels, variant=f"beta={beta}")


@pytest.mark.parametrize(
    "levels, verdict, named",
    [
        ((101.0, 102.0), Verdict.REPRODUCED, "beta=0.0"),
        ((101.0, 99.9), Verdict.REPRODUCED, "beta=1.0"),  # not by more than 0.2
        ((101.0, 99.0), Verdict.NOT_REPRODUCED, "beta=1.0"),
        ((99.8, 101.0), Verdict.NOT_COMPARABLE, "beta=0.0"),
    ],
)
def test_unbeaten_names_who_beats_it_or_comes_nearest(levels, verdict, named):
    stated = Unbeaten(
        says="s",
        protocol="test, K=100",
        of={"objective": "elbo"},
        others={"objective": "beta_elbo"},
        tolerance=0.2,
    )
    outcome = judge(stated, rivals(*levels))
    assert (outcome.verdict, named in outcome.reason) == (verdict, True)


def test_unbeaten_allows_for_how_many_others_there_are():
    """One other: 4.30 standard errors; three: 7.65, as each has level 1 - 0.05 / 3."""
    stated = Unbeaten(
        says="s",
        protocol="test, K=100",
        of={"objective": "elbo"},
        others={"objective": "beta_elbo"},
    )
    one, three = (judge(stated, rivals(*[101.0] * n)) for n in (1, 3))
    error = 0.01 / math.sqrt(3)
    assert one.high - one.difference == pytest.approx(stats.t.ppf(1 - 0.05 / 2, 2) * error)
    assert three.high - three.difference == pytest.approx(stats.t.ppf(1 - 0.05 / 6, 2) * error)


def gradients(slope, seeds=SEEDS, **more):
    """Rows of an exact power law, times a factor of the seed."""
    row = {"objective": "iwae", "side": "encoder", "metric": "snr_vector"} | more
    return Evidence(
        gradients={
            seed: [row | {"num_samples": k, "value": (1 + seed) * k**slope} for k in (4, 8, 64)]
            for seed in seeds
        }
    )


SLOPE = Slope(
    says="s",
    metric="snr_vector",
    objective="iwae",
    side="encoder",
    published=-0.5,
    tolerance=0.01,
)


@pytest.mark.parametrize(
    "slope, verdict", [(-0.5, Verdict.REPRODUCED), (-0.3, Verdict.NOT_REPRODUCED)]
)
def test_the_slope_of_a_power_law_is_its_exponent(slope, verdict):
    outcome = judge(SLOPE, gradients(slope))
    assert outcome.ours == pytest.approx(slope)
    assert outcome.verdict == verdict


def test_a_slope_needs_points_of_its_side_and_figure():
    outcome = judge(SLOPE, gradients(-0.5, side="decoder"))
    assert outcome.verdict == Verdict.NOT_COMPARABLE
    assert "at 3 values of K; got {}" in outcome.reason


def test_exact_holds_runs_against_theory(monkeypatch):
    monkeypatch.setattr(
        "vaebench.reproduction.statements.EXACT", {"pca_nll": lambda config: 100.05}
    )
    stated = Exact(says="s", protocol="test, K=100", theory="pca_nll", tolerance=1.35)
    outcome = judge(stated, PAIR)
    assert outcome.verdict == Verdict.REPRODUCED
    assert (outcome.published, outcome.difference) == (100.05, pytest.approx(-0.05))


def outcome_of(verdict):
    return Outcome(says="s", verdict=verdict, reason="")


def test_a_claim_is_as_good_as_its_worst_statement():
    good, bad, open_ = map(
        outcome_of, (Verdict.REPRODUCED, Verdict.NOT_REPRODUCED, Verdict.NOT_COMPARABLE)
    )
    assert overall([good, good]) == Verdict.REPRODUCED
    assert overall([good, open_]) == Verdict.NOT_COMPARABLE
    assert overall([good, open_, bad]) == Verdict.NOT_REPRODUCED
