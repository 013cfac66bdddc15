"""Divisions: what can be compared shares one, and nothing else does."""

import msgspec
import pytest

from vaebench import results
from vaebench.league.entered import enter
from vaebench.league.manifest import manifest_of
from vaebench.league.submission import Submission


@pytest.fixture(scope="module")
def records(trained):
    return list(results.records(trained))


def submission(trained, name, records, timings=()):
    return Submission(trained, trained, manifest_of(name, records, {}, ()), records, timings)


def spaces(entered):
    return {record.labels.observation_space for record in entered.records}


def test_the_same_runs_of_two_submissions_are_lines_of_one_division(trained, records):
    entered = enter([submission(trained, name, records) for name in ("a", "b")])
    assert len(spaces(entered)) == 1
    assert len({record.run for record in entered.records}) == 8
    assert {line[2] for line in entered.submission_of} == {
        *("a: elbo", "a: elbo_mc", "b: elbo", "b: elbo_mc")
    }
    for record in entered.records:
        place, run = record.run.split("/")
        assert record.labels.variant.startswith("ab"[int(place)])
        nll = next(m.value for m in record.metrics if m.metric == "nll")
        assert entered.examples(record.run)["nll"].mean() == pytest.approx(nll, rel=1e-5)
        assert run in {one.run for one in records}


def with_data(record, fingerprint):
    data = {**record.config["data"], "fingerprint": fingerprint}
    return msgspec.structs.replace(record, config={**record.config, "data": data})


def with_way(record, fingerprint):
    metrics = [msgspec.structs.replace(m, fingerprint=fingerprint) for m in record.metrics]
    return msgspec.structs.replace(record, metrics=metrics)


def with_space(record, space):
    labels = msgspec.structs.replace(record.labels, observation_space=space)
    return msgspec.structs.replace(record, labels=labels)


@pytest.mark.parametrize(
    "change",
    [
        lambda r: with_data(r, "0" * 16),
        lambda r: with_way(r, "0" * 16),
        lambda r: with_space(r, "other/none/density/K=5/0"),
        lambda r: msgspec.structs.replace(r, protocol=1),
    ],
    ids=["data", "way of the NLL", "observation space", "protocol of training"],
)
def test_what_differs_in_one_of_these_is_a_division_of_its_own(trained, records, change):
    others = [change(record) for record in records]
    entered = enter([submission(trained, "a", records), submission(trained, "b", others)])
    by_name = {
        name: {
            record.labels.observation_space
            for record in entered.records
            if record.labels.variant.startswith(name)
        }
        for name in "ab"
    }
    assert len(by_name["a"]) == len(by_name["b"]) == 1
    assert not by_name["a"] & by_name["b"]


def test_a_lost_run_counts_with_the_others_of_its_submission(trained, records):
    lost = msgspec.structs.replace(records[0], status="diverged", metrics=[])
    entered = enter([submission(trained, "a", [lost, *records[1:]])])
    assert len(spaces(entered)) == 1
    alone = enter([submission(trained, "a", [lost])])
    assert len(alone.records) == 1, "and where it is alone it does not vanish"


def test_cost_is_counted_from_the_configuration(trained, records):
    entered = enter([submission(trained, "a", records)])
    assert set(entered.evaluations.values()) == {12 * 16.0}, "steps times examples"


def test_timings_join_the_line_of_their_first_run(trained, records):
    first = records[0]
    figures = [
        results.metric("examples_per_s", 100.0),
        results.metric("step_time_ratio", 1.0),
    ]
    timed = results.Record(
        run=f"timing-{first.run}",
        study="s",
        labels=first.labels,
        status="done",
        metrics=figures,
        config={"runs": [first.run]},
    )
    entered = enter([submission(trained, "a", records, [timed])])
    (timing,) = [record for record in entered.records if record.labels.seed is None]
    assert [m.metric for m in timing.metrics] == ["examples_per_s"], "ratios are of one pass"
    of_run = next(r for r in entered.records if r.run == f"0/{first.run}")
    assert timing.labels == msgspec.structs.replace(of_run.labels, seed=None)
