"""How variants differ, as a table and in words."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from vaebench.core.errors import InputError
from vaebench.report.comparison import comparisons
from vaebench.report.sentences import in_words
from vaebench.report.standings import ranked

SPACE = "digits/dynamic/mass/0"
UNITS = {"nll": "nats", "frechet": "squared feature units"}


def rows_of(metrics, space=SPACE, fingerprints=None, status="done"):
    """Rows: {metric: {variant: values by seed}}; None is a run that has no value."""
    rows = [
        {
            "run": f"{variant}-{seed}",
            "dataset": "digits",
            "observation_space": space,
            "likelihood": "bernoulli",
            "variant": variant,
            "settings": "a=1",
            "seed": seed,
            "status": "diverged" if value is None else "done",
            "metric": "" if value is None else metric,
            "value": value,
            "unit": UNITS[metric],
            "fingerprint": (fingerprints or {}).get((metric, variant), ""),
        }
        for metric, variants in metrics.items()
        for variant, by_seed in variants.items()
        for seed, value in enumerate(by_seed)
    ]
    return pd.DataFrame(rows).astype({"seed": "Int64", "value": float})


def drawn(num_seeds, *means, spread=0.1, seed=0):
    noise = np.random.default_rng(seed).normal(size=(len(means), num_seeds)) * spread
    return {f"v{i}": list(100.0 + m + e) for i, (m, e) in enumerate(zip(means, noise, strict=True))}


def of_pair(table, worse, better):
    lines = table[(table["worse"] == worse) & (table["better"] == better)]
    return lines.iloc[0]


def test_all_pairs_of_a_space_and_none_across():
    a = rows_of({"nll": drawn(5, 0.0, 1.0, 2.0)})
    b = rows_of({"nll": drawn(5, 0.0, 1.0)}, space="digits/none/density/0")
    table = comparisons(pd.concat([a, b]))
    assert table.groupby("observation_space").size().to_dict() == {
        SPACE: 3,
        "digits/none/density/0": 1,
    }
    assert table["family"].to_list() == [3, 3, 3, 1]
    assert table["first"].to_list() == [True, True, False, True]


def test_numbers_are_those_of_the_paired_t_test():
    values = drawn(6, 0.0, 0.2)
    pair = of_pair(comparisons(rows_of({"nll": values})), "v1", "v0")
    known = stats.ttest_rel(values["v1"], values["v0"])
    interval = known.confidence_interval(0.95)
    assert pair["p"] == pytest.approx(known.pvalue)
    assert (pair["low"], pair["high"]) == pytest.approx((interval.low, interval.high))
    d = np.subtract(values["v1"], values["v0"])
    assert pair["difference"] == pytest.approx(d.mean())
    assert (pair["num_seeds"], pair["p_holm"]) == (6, pair["p"])


def examples_of(rows, num=50, spread=3.0):
    """Values of examples that every run shares, but for its mean."""
    shared = np.random.default_rng(9).normal(size=num) * spread
    shared -= shared.mean()
    tilt = np.linspace(-1.0, 1.0, num)
    means = rows[rows["metric"] == "nll"].set_index("run")["value"]

    def kept(run):
        tilted = tilt * (2.0 if run.startswith("v1") else 0.0)
        return {"nll": means[run] + shared + tilted}

    return kept


def test_examples_widen_the_interval_by_what_they_disagree():
    rows = rows_of({"nll": drawn(5, 0.0, 0.3)})
    alone = of_pair(comparisons(rows), "v1", "v0")
    both = of_pair(comparisons(rows, examples_of(rows)), "v1", "v0")
    assert both["difference"] == pytest.approx(alone["difference"])
    assert (both["num_seeds"], both["num_examples"]) == (5, 50)
    assert np.isnan(alone["num_examples"])
    assert both["high"] - both["low"] > 1.1 * (alone["high"] - alone["low"])
    assert "5 seeds x 50 examples" in in_words(comparisons(rows, examples_of(rows)))[0]


def test_examples_of_some_runs_alone_are_not_used():
    rows = rows_of({"nll": drawn(5, 0.0, 0.3)})
    kept = examples_of(rows)
    table = comparisons(rows, lambda run: {} if run == "v1-2" else kept(run))
    assert np.isnan(of_pair(table, "v1", "v0")["num_examples"])


def test_examples_of_another_record_are_refused():
    rows = rows_of({"nll": drawn(3, 0.0, 0.3)})
    with pytest.raises(InputError, match="run v1-0 have 50: evaluate it again"):
        comparisons(rows, lambda run: {"nll": np.full(4, 50.0)})


def test_a_family_named_beforehand_is_smaller():
    rows = rows_of({"nll": drawn(4, 0.0, 0.5, 0.6, 0.7)})
    every, named = comparisons(rows), comparisons(rows, against="v2")
    assert (len(every), len(named)) == (6, 3)
    assert named["first"].all()
    assert set(named["family"]) == {3}
    assert (named["p_holm"] <= 3 * named["p"] + 1e-12).all()
    with pytest.raises(InputError, match="no variant 'v9' to compare against"):
        comparisons(rows, against="v9")


def test_words_say_what_would_settle_it():
    rows = rows_of({"nll": drawn(6, 0.0, 0.02)})
    (sentence, *_) = in_words(comparisons(rows, margin=0.05))
    pair = comparisons(rows, margin=0.05).iloc[0]
    more = pair["seeds_needed"] - 6
    assert pair["sought"] == 0.05
    assert more > 0
    assert sentence.startswith(f"{SPACE}: v1 and v0 are not told apart in nll (difference ")
    assert sentence.endswith(f", 6 seeds; {more:.0f} more seeds would detect 0.05)")
    (seen, *_) = in_words(comparisons(rows))
    assert seen.endswith(f"would detect {abs(pair['difference']):.2g})")


def test_an_interval_within_the_margin_is_a_finding():
    rows = rows_of({"nll": drawn(6, 0.0, 0.02)})
    assert (
        "v1 and v0 are not told apart, and differ by less than 5 nats, in nll"
        in in_words(comparisons(rows, margin=5.0))[0]
    )
    rows = rows_of({"nll": drawn(6, 0.0, 1.0)})
    assert (
        "v1 and v0 differ by less than 5 nats in nll" in in_words(comparisons(rows, margin=5.0))[0]
    )
    pd.testing.assert_frame_equal(comparisons(rows, margin=0.0), comparisons(rows))
    with pytest.raises(InputError, match="the margin must be a number from 0 on, in nats; got -1"):
        comparisons(rows, margin=-1.0)


def test_few_seeds_are_no_proof_of_anything():
    """Five seeds cannot reach 5% in an exact test; six can, for one pair but not for three."""
    notes = [
        " ".join(in_words(comparisons(rows_of({"nll": drawn(s, *means)}))))
        for s, means in ((5, (0.0, 1.0)), (6, (0.0, 1.0)), (6, (0.0, 1.0, 2.0)))
    ]
    assert (
        "5 seeds are too few for an exact sign-flip test, which cannot go below p = 0.062:"
        in notes[0]
    )
    assert "too few" not in notes[1]
    assert "p = 0.094 with 3 comparisons" in notes[2]


def test_an_exact_test_that_does_not_agree_is_told():
    """Student's t sees a mean of 1 with little spread; one sign of six is against it."""
    d = np.array([1.9, 1.0, 1.2, 1.4, 1.5, -0.4, 1.6])
    rows = rows_of({"nll": {"a": [100.0] * 7, "b": list(100.0 + d), "c": list(200.0 + d)}})
    pair = of_pair(comparisons(rows), "b", "a")
    assert pair["verdict"] == "differ"
    assert pair["permutation_p"] <= 0.05
    less = rows_of({"nll": {"a": [100.0] * 6, "b": list(100.0 + np.array([9, 8, 9, 8, 9, -1.0]))}})
    pair = comparisons(less).iloc[0]
    assert (pair["verdict"], pair["permutation_p"]) == ("differ", 4 / 64)
    assert "does not confirm: b and a" in in_words(comparisons(less))[-1]


def test_lost_runs_missing_seeds_and_values_that_are_none():
    a, b, c, d = ([100.0 + 0.1 * i + x for i in range(4)] for x in (0.0, 1.0, 2.0, 3.0))
    b[1] = None  # diverged
    c[2] = float("nan")
    rows = rows_of({"nll": {"a": a, "b": b, "c": c, "d": d[:3]}})
    rows = rows[~((rows["variant"] == "d") & (rows["seed"] == 0))]
    table = comparisons(rows)
    lost = of_pair(table, "b", "a")
    assert (lost["verdict"], lost["reason"]) == (
        "are not compared",
        "1 of 4 runs diverged or failed (b)",
    )
    assert np.isnan([lost["p"], lost["p_holm"], lost["difference"]]).all()
    assert of_pair(table, "c", "a")["num_seeds"] == 3
    assert of_pair(table, "c", "d")["num_seeds"] == 1
    assert of_pair(table, "c", "d")["verdict"] == "cannot be told apart by one seed"
    assert of_pair(table, "c", "a")["family"] == 2  # and d with a: two seeds


def test_equal_values_are_not_told_apart():
    rows = rows_of({"nll": {"a": [100.0, 101.0, 102.0], "b": [100.0, 101.0, 102.0]}})
    pair = comparisons(rows).iloc[0]
    assert (pair["verdict"], pair["difference"], pair["p"]) == ("are not told apart", 0.0, 1.0)
    sentence = in_words(comparisons(rows))[0]
    assert "(difference 0 nats, 95% interval 0 to 0, 3 seeds)" in sentence


def test_values_made_in_different_ways_are_not_compared():
    values = {"nll": drawn(3, 0.0, 1.0, 2.0), "frechet": drawn(3, 5.0, 6.0, 7.0)}
    ways = {("frechet", "v0"): "1f", ("frechet", "v1"): "1f", ("frechet", "v2"): "2e"}
    rows = rows_of(values, fingerprints=ways)
    table = comparisons(rows, metric="frechet")
    assert of_pair(table, "v1", "v0")["verdict"] != "are not compared"
    refused = of_pair(table, "v2", "v0")
    assert refused["verdict"] == "are not compared"
    assert np.isnan([refused["difference"], refused["p_holm"]]).all()
    assert "fingerprints 2e and 1f" in in_words(table)[1]
    assert set(table["family"]) == {1}
    assert comparisons(rows)["verdict"].ne("are not compared").all()


def test_likelihoods_made_in_different_ways_are_not_ranked():
    rows = rows_of({"nll": drawn(3, 0.0, 1.0)}, fingerprints={("nll", "v1"): "2e"})
    ((_, lines),) = ranked(rows)
    assert lines["rank"].isna().all()
    assert comparisons(rows)["verdict"].to_list() == ["are not compared"]


def test_a_fingerprint_of_each_seed_is_no_difference():
    """The same protocol may name the seed: what counts is whether a pair's two are equal."""
    rows = rows_of({"nll": drawn(3, 0.0, 1.0)})
    rows["fingerprint"] = "seed " + rows["seed"].astype(str)
    ((_, lines),) = ranked(rows)
    assert lines["rank"].to_list() == [1, 2]
    assert comparisons(rows)["verdict"].ne("are not compared").all()


def test_one_variant_is_nothing_to_compare():
    sentences = in_words(comparisons(rows_of({"nll": drawn(3, 0.0)})))
    assert sentences == ["there is nothing to compare: no observation space has two variants"]


def test_any_false_verdict_of_whole_studies():
    """Through rows and tables: four variants without a difference, in 60 observation spaces."""
    generator, num = np.random.default_rng(0), 60
    tables = []
    for study in range(num):
        values = {f"v{i}": list(generator.normal(size=4)) for i in range(4)}
        tables.append(rows_of({"nll": values}, space=f"space {study:03d}"))
    table = comparisons(pd.concat(tables, ignore_index=True))
    false = table["verdict"].eq("differ").groupby(table["observation_space"]).any().mean()
    assert false < 0.05 + 4 * (0.05 * 0.95 / num) ** 0.5
    alone = table["low"].gt(0) | table["high"].lt(0)
    assert alone.groupby(table["observation_space"]).any().mean() > 2 * false
