"""Two results folders side by side: the numbers, the verdicts, and what is said to be unlike."""

import math

import numpy as np
import pytest
from msgspec.structs import replace
from scipy import stats

from tests.report.test_tables import record
from vaebench import results
from vaebench.core.errors import InputError
from vaebench.report.diff import differences, in_words, parts
from vaebench.results import Metric, metric

SPACE = "digits/dynamic/mass/0"
BEFORE = [100.0, 100.4, 99.7, 100.1, 100.6]
AFTER = [100.9, 101.2, 100.8, 101.0, 101.7]
NAMES = ("variant", "metric")


def folder_of(path, records, timings=()):
    results.prepare(path)
    for one in records:
        results.write(path, one)
    if timings:
        results.write_timings(path, list(timings))
    return path


def runs_of(variant, values, **more):
    return [record(variant, seed, value, **more) for seed, value in enumerate(values)]


def line_of(table, **wanted):
    chosen = table
    for name, value in wanted.items():
        chosen = chosen[chosen[name] == value]
    (line,) = chosen.to_dict("records")
    return line


@pytest.fixture
def two(tmp_path):
    """A folder, and one where "elbo" is about a nat worse, with runs of the same ids."""
    return (
        folder_of(tmp_path / "a", [*runs_of("elbo", BEFORE), *runs_of("iwae", BEFORE)]),
        folder_of(tmp_path / "b", [*runs_of("elbo", AFTER), *runs_of("iwae", BEFORE)]),
    )


def test_numbers_are_those_of_the_paired_t_test(two):
    table = differences(*two, ["nll"]).table
    known = stats.ttest_rel(AFTER, BEFORE)
    interval = known.confidence_interval(0.95)
    line = line_of(table, variant="elbo")
    assert line["difference"] == pytest.approx(np.mean(AFTER) - np.mean(BEFORE))
    assert (line["before"], line["after"]) == pytest.approx((np.mean(BEFORE), np.mean(AFTER)))
    assert (line["low"], line["high"]) == pytest.approx((interval.low, interval.high))
    assert line["p"] == pytest.approx(known.pvalue)
    assert line["p_holm"] == pytest.approx(2 * known.pvalue), "two variants were compared"
    assert (line["verdict"], line["is_worse"], line["num_seeds"]) == ("differ", True, 5)
    same = line_of(table, variant="iwae")
    assert (same["difference"], same["p"], same["is_worse"]) == (0.0, 1.0, False)


def test_holm_allows_for_all_lines(two):
    table = differences(*two).table
    assert set(map(tuple, table[[*NAMES]].to_numpy())) == {
        (variant, name) for variant in ("elbo", "iwae") for name in ("nll", "rate")
    }
    assert set(table["family"]) == {4}
    line = line_of(table, variant="elbo", metric="nll")
    assert line["p_holm"] == pytest.approx(4 * line["p"])


@pytest.mark.parametrize(("beyond", "is_worse"), [(-1e-6, True), (1e-6, False)])
def test_the_near_end_of_the_interval_must_be_beyond_the_margin(two, beyond, is_worse):
    low = stats.ttest_rel(AFTER, BEFORE).confidence_interval(0.95).low
    compared = differences(*two, ["nll"], margin=low + beyond)
    assert compared.any_worse is is_worse


def test_an_improvement_is_not_worse(two):
    compared = differences(*reversed(two), ["nll"])
    assert line_of(compared.table, variant="elbo")["verdict"] == "differ"
    assert not compared.any_worse


def test_direction_is_that_of_the_metric(tmp_path):
    """A lower ELBO is worse; a lower rate is neither; a metric of one's own says what it is."""

    def runs(shift):
        return [
            replace(
                one,
                metrics=[
                    metric("elbo", -value - shift),
                    metric("rate", value - shift),
                    Metric("mine", value - shift, "points", True),
                ],
            )
            for one, value in zip(runs_of("elbo", BEFORE), BEFORE, strict=True)
        ]

    a, b = folder_of(tmp_path / "a", runs(0.0)), folder_of(tmp_path / "b", runs(1.0))
    for before, after, worse in ((a, b, {"elbo", "mine"}), (b, a, set())):
        table = differences(before, after, ["elbo", "rate", "mine"]).table
        assert set(table["verdict"]) == {"differ"}
        assert set(table.loc[table["is_worse"], "metric"]) == worse
    assert not differences(a, b, ["elbo", "mine"], margin=1.5).any_worse
    assert differences(a, b, ["elbo", "mine"], margin=0.5).table["is_worse"].all()


def test_examples_of_runs_of_one_id_are_those_of_either_folder(two):
    tilt = np.linspace(-1.0, 1.0, 40)
    for path, amount in zip(two, (0.0, 0.5), strict=True):
        for one in results.records(path):
            nll = next(m.value for m in one.metrics if m.metric == "nll")
            results.write_examples(path, one.run, {"nll": nll + amount * tilt})
    line = line_of(differences(*two, ["nll"]).table, variant="elbo")
    assert (line["num_seeds"], line["num_examples"]) == (5, 40)
    alone = stats.ttest_rel(AFTER, BEFORE).confidence_interval(0.95)
    assert line["difference"] == pytest.approx(np.mean(AFTER) - np.mean(BEFORE))
    assert line["high"] - line["low"] > alone.high - alone.low


def test_seeds_in_common_are_paired_and_others_named(tmp_path):
    a = folder_of(tmp_path / "a", runs_of("elbo", BEFORE))
    b = folder_of(tmp_path / "b", runs_of("elbo", AFTER)[2:])
    compared = differences(a, b, ["nll"])
    line = line_of(compared.table, variant="elbo")
    assert line["num_seeds"] == 3
    assert line["before"] == pytest.approx(np.mean(BEFORE[2:]))
    assert compared.notes == [f"{SPACE}: elbo: seed in {a} alone: 0, 1"]


def test_without_a_common_seed_nothing_is_compared(tmp_path):
    a = folder_of(tmp_path / "a", runs_of("elbo", BEFORE)[:2])
    b = folder_of(tmp_path / "b", runs_of("elbo", AFTER)[2:])
    compared = differences(a, b, ["nll"])
    line = line_of(compared.table, variant="elbo")
    assert line["verdict"] == "are not compared"
    assert line["reason"] == "they have no seed with a value in common"
    assert np.isnan(line["difference"]) and not compared.any_worse
    assert in_words(compared)[-1] == "none of 1 comparisons worse, 1 not compared"


def test_values_made_in_different_ways_are_not_compared(tmp_path):
    def runs(fingerprint):
        return [
            replace(one, metrics=[Metric("nll", 100.0, "nats", False, fingerprint=fingerprint)])
            for one in runs_of("elbo", BEFORE)
        ]

    a, b = folder_of(tmp_path / "a", runs("old")), folder_of(tmp_path / "b", runs("new"))
    reason = line_of(differences(a, b).table, metric="nll")["reason"]
    assert reason == "their values were made in different ways (fingerprints new and old)"


def test_a_larger_part_of_lost_runs_is_worse(tmp_path):
    lost = [record("elbo", 0, 0.0, status="diverged"), *runs_of("elbo", BEFORE)[1:]]
    a, b = folder_of(tmp_path / "a", runs_of("elbo", BEFORE)), folder_of(tmp_path / "b", lost)
    compared = differences(a, b, ["nll"])
    assert compared.any_worse
    reason = line_of(compared.table, variant="elbo")["reason"]
    assert reason == f"1 of 5 runs diverged or failed (elbo in {b})"
    assert not differences(b, a, ["nll"]).any_worse


def test_a_folder_that_lost_all_runs_is_worse(tmp_path):
    lost = [record("elbo", seed, 0.0, status="failed") for seed in range(5)]
    a, b = folder_of(tmp_path / "a", runs_of("elbo", BEFORE)), folder_of(tmp_path / "b", lost)
    for metrics in ([], ["nll"]):
        table = differences(a, b, metrics).table
        assert set(table["reason"]) == {f"5 of 5 runs diverged or failed (elbo in {b})"}
        assert table["is_worse"].all()
    assert not differences(b, a).any_worse
    with pytest.raises(InputError, match=r"a metric of the ranking in common; .* has none; "):
        differences(b, b)


def test_what_is_on_one_side_alone_is_named(tmp_path):
    other = "digits/none/density/0"
    a = folder_of(
        tmp_path / "a",
        [
            *runs_of("elbo", BEFORE, mse=0.1),
            *runs_of("old", BEFORE),
            *runs_of("x", BEFORE, space=other),
        ],
    )
    b = folder_of(tmp_path / "b", [*runs_of("elbo", BEFORE, frechet=2.0), *runs_of("new", AFTER)])
    assert differences(a, b).notes == [
        f"observation space in {a} alone: {other}",
        f"metric in {b} alone: frechet",
        f"{SPACE}: variant in {a} alone: old",
        f"{SPACE}: variant in {b} alone: new",
    ]


def test_a_changed_setting_is_named_and_compared(tmp_path):
    a = folder_of(tmp_path / "a", runs_of("elbo", BEFORE, settings="train.a=1 train.b=3"))
    b = folder_of(tmp_path / "b", runs_of("elbo", AFTER, settings="train.a=2 train.b=3"))
    compared = differences(a, b, ["nll"])
    assert line_of(compared.table, variant="elbo")["verdict"] == "differ"
    assert compared.notes == [f"{SPACE}: elbo: train.a=1 in {a}, train.a=2 in {b}"]


def test_settings_that_could_be_several_are_not_matched(tmp_path):
    two = [*runs_of("elbo", BEFORE, settings="a=1"), *runs_of("elbo", BEFORE, settings="a=2")]
    more = [*runs_of("elbo", AFTER, settings="a=2"), *runs_of("elbo", AFTER, settings="a=3")]
    three = [*more, *runs_of("elbo", AFTER, settings="a=4")]
    a, b = folder_of(tmp_path / "a", two), folder_of(tmp_path / "b", three)
    compared = differences(a, b, ["nll"])
    assert list(compared.table["variant"]) == ["elbo, a=2"]
    assert compared.notes == [
        f"{SPACE}: variant in {a} alone: elbo, a=1",
        f"{SPACE}: variant in {b} alone: elbo, a=3; elbo, a=4",
    ]


def test_versions_and_protocols_that_differ_are_named(tmp_path):
    def runs(torch, protocol, how):
        return [
            replace(
                one,
                environment={"torch": torch, "device": "cpu"},
                protocol=protocol,
                metrics=[metric("nll", 100.0, how)],
            )
            for one in runs_of("elbo", BEFORE)
        ]

    a = folder_of(tmp_path / "a", runs("2.12", 3, "K = 100"))
    b = folder_of(tmp_path / "b", runs("2.13", 4, "K = 500"))
    assert differences(a, b).notes == [
        f"torch: 2.12 in {a}, 2.13 in {b}",
        f"protocol of training: 3 in {a}, 4 in {b}",
        f"protocol of nll: K = 100 in {a}, K = 500 in {b}",
    ]


def timing(variant, ms, **environment):
    one = record(variant, 0, 0.0)
    return replace(
        one,
        run=f"timing-{one.run}",
        labels=replace(one.labels, seed=None),
        metrics=[metric("step_time", ms, "in turn")],
        config={"runs": [one.run]},
        curves={},
        environment={"processor": "one", "device": "cpu"} | environment,
    )


def test_step_times_are_a_ratio_and_no_verdict(tmp_path):
    runs = runs_of("elbo", BEFORE)
    a = folder_of(tmp_path / "a", runs, [timing("elbo", 2.0)])
    b = folder_of(tmp_path / "b", runs, [timing("elbo", 5.0)])
    compared = differences(a, b)
    (time,) = compared.step_times
    assert (time.before, time.after, time.ratio, time.unlike) == (2.0, 5.0, 2.5, "")
    assert not compared.any_worse
    said = f"{SPACE}: elbo: a step takes 2.5 times as long (2 ms before, 5 ms after)"
    assert said in in_words(compared)


def test_step_times_of_two_machines_are_marked(tmp_path):
    runs = runs_of("elbo", BEFORE)
    a = folder_of(tmp_path / "a", runs, [timing("elbo", 2.0)])
    b = folder_of(tmp_path / "b", runs, [timing("elbo", 1.0, device="a GPU")])
    (time,) = differences(a, b).step_times
    assert time.unlike == "not comparable across machines: device cpu before, a GPU after"
    assert f"; {time.unlike})" in in_words(differences(a, b))[-4]
    untimed = folder_of(tmp_path / "c", runs)
    assert differences(a, untimed).step_times == []


def test_words_and_json_say_the_same(two):
    compared = differences(*two, ["nll"])
    lines = in_words(compared)
    (worse,) = [line for line in lines if "WORSE" in line]
    a, b = two
    assert worse.startswith(
        f"{SPACE}: WORSE: elbo in {b} and elbo in {a} differ in nll (difference 0.96 nats"
    )
    assert lines[-1] == "1 of 2 comparisons worse"
    stated = parts(compared)
    assert (stated["before"], stated["after"]) == (str(a), str(b))
    by_variant = {line["variant"]: line for line in stated["comparisons"]}
    assert by_variant["elbo"]["difference"] == pytest.approx(0.96)
    assert math.isnan(by_variant["elbo"]["num_examples"])
    assert by_variant["iwae"]["is_worse"] is False


def test_words_have_the_name_for_people(tmp_path):
    """And JSON the recorded word."""
    config = {"data": {"name": "digits", "binarisation": "dynamic"}}
    runs = [replace(one, config=config) for one in runs_of("elbo", BEFORE)]
    a = folder_of(tmp_path / "a", runs, [timing("elbo", 2.0)])
    b = folder_of(tmp_path / "b", runs[1:], [timing("elbo", 2.0)])
    compared = differences(a, b, ["nll"])
    starting = "Digits, binarised anew each epoch"
    assert sum(line.startswith(starting) for line in in_words(compared)) == 3
    assert set(compared.table["observation_space"]) == {SPACE}


def test_refusals(two, tmp_path):
    a, _ = two
    other = folder_of(tmp_path / "o", runs_of("elbo", BEFORE, space="digits/none/density/0"))
    with pytest.raises(InputError) as refused:
        differences(a, other)
    assert str(refused.value).endswith(
        f"{a} has {SPACE}; {other} has digits/none/density/0: run both studies on the same data, "
        "with likelihoods of one kind and the same evaluate.num_samples"
    )
    with pytest.raises(
        InputError, match=r"a variant in common to be compared; .*a alone: elbo, iwae"
    ):
        differences(a, folder_of(tmp_path / "n", runs_of("new", BEFORE)))
    with pytest.raises(InputError, match=r"empty must hold results .*it has none"):
        differences(a, folder_of(tmp_path / "empty", []))
    with pytest.raises(InputError, match=r"timed must hold runs .*it has none"):
        differences(folder_of(tmp_path / "timed", [], [timing("elbo", 1.0)]), a)
    with pytest.raises(InputError, match="no metric 'nl' that runs of both folders have; did you"):
        differences(*two, ["nl"])
    for margin in (-0.1, float("nan"), float("inf")):
        with pytest.raises(InputError, match="the margin must be a number from 0 on; got"):
            differences(*two, margin=margin)
