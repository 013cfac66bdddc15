"""Statistics, tables and figures: pure functions of rows."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from vaebench import results
from vaebench.errors import InputError
from vaebench.report import write_report
from vaebench.report.statistics import mean_interval, paired_difference
from vaebench.report.tables import differences_in_words, markdown, summarise
from vaebench.results import Labels, Record, metric


def record(
    variant, seed, nll, space="digits/dynamic/mass/0", status="done", settings="train.a=1", **more
):
    likelihood = "bernoulli" if "mass" in space else "gaussian_learned"
    found = {"nll": nll, "rate": 3.0, "distortion": nll - 3.0, **more}
    return Record(
        run=f"{variant}-{seed}-{space}-{settings}".replace("/", "-"),
        study="s",
        labels=Labels("digits", likelihood, variant, "{}", variant, 1, space, settings, seed),
        status=status,
        environment={"torch": "2.x", "device": "cpu"},
        reason="" if status == "done" else "the loss was not finite at step 7",
        metrics=[metric(k, v) for k, v in found.items()] if status == "done" else [],
        curves={"step": [1.0, 2.0], "valid_elbo_nats": [-30.0 - nll, -nll]},
    )


NOISE = [0.3, -0.1, 0.2, -0.4, 0.0]
RECORDS = [
    *(record("elbo", i, 100.0 + e) for i, e in enumerate(NOISE)),
    *(record("near", i, 100.05 + e + 0.1 * (-1) ** i) for i, e in enumerate(NOISE)),
    *(record("worse", i, 101.0 + e) for i, e in enumerate(NOISE)),
    *(record("lost", i, 90.0, status="diverged" if i == 0 else "done") for i in range(5)),
    *(record("elbo", i, -40.0 + e, "digits/none/density/0") for i, e in enumerate(NOISE)),
]


@pytest.fixture
def folder(tmp_path):
    results.prepare(tmp_path)
    for r in RECORDS:
        results.write(tmp_path, r)
    return tmp_path


def test_interval_is_students():
    values = [1.0, 2.0, 4.0, 7.0]
    expected = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    interval = mean_interval(values)
    assert (interval.low, interval.high) == pytest.approx(expected)
    assert (interval.mean, interval.num) == (3.5, 4)
    assert np.isnan(mean_interval([1.0]).low)


def test_interval_covers_at_its_rate():
    draws = np.random.default_rng(0).normal(size=(4000, 5))
    intervals = [mean_interval(row) for row in draws]
    covered = np.mean([i.low <= 0 <= i.high for i in intervals])
    assert abs(covered - 0.95) < 4.5 * (0.95 * 0.05 / 4000) ** 0.5


def test_pairing_removes_what_the_seeds_share():
    a, b = np.add(NOISE, 100.0), np.add(NOISE, 99.0)
    difference = paired_difference(a.tolist(), b.tolist())
    assert difference.mean == pytest.approx(1.0)
    assert difference.high - difference.low < 1e-9


def test_ranks_within_a_space_with_ties_and_without_lost_runs(folder):
    table = summarise(results.load(folder)).set_index(["observation_space", "variant"])
    mass = table.loc["digits/dynamic/mass/0"]
    assert mass["rank"].dropna().to_dict() == {"elbo": 1, "near": 2, "worse": 3}
    assert mass["tied"].to_dict() == {"elbo": False, "near": True, "worse": False, "lost": False}
    assert np.isnan(mass.loc["lost", "rank"])
    assert (mass.loc["lost", "runs"], mass.loc["lost", "done"]) == (5, 4)
    density = table.loc["digits/none/density/0"]
    assert density["rank"].to_dict() == {"elbo": 1}


def test_table_is_unrounded_and_markdown_is_not(folder):
    table = summarise(results.load(folder))
    first = table[(table["variant"] == "elbo") & (table["likelihood"] == "bernoulli")].iloc[0]
    assert first["nll_mean"] == np.mean([100.0 + e for e in NOISE])
    text = markdown(table)
    assert text.count("###") == 2
    assert "| 100.00 ± 0.34 " in text
    assert "2 =1" in text
    assert "4 of 5" in text


def test_runs_of_other_settings_are_another_line(folder):
    """A second training length in the same folder is not averaged with the first."""
    for i, e in enumerate(NOISE):
        results.write(folder, record("elbo", i, 98.0 + e, settings="train.a=2"))
    table = summarise(results.load(folder))
    mass = table[table["likelihood"] == "bernoulli"]
    assert mass[mass["variant"] == "elbo"]["runs"].to_list() == [5, 5]
    assert mass[mass["variant"] == "elbo"]["rank"].to_list() == [1, 2]
    assert "train.a=2" in markdown(table)
    assert "train.a" not in markdown(table[table["likelihood"] != "bernoulli"])


def test_comparison_in_words(folder):
    near, worse = differences_in_words(results.load(folder))
    assert "near and elbo do not differ in nll" in near
    assert "worse and elbo differ in nll (difference 1 nats" in worse
    with pytest.raises(InputError, match="did you mean 'nll'"):
        differences_in_words(results.load(folder), "nl")


def test_one_seed_tells_nothing_apart(tmp_path):
    results.prepare(tmp_path)
    for variant, nll in (("elbo", 100.0), ("far", 200.0)):
        results.write(tmp_path, record(variant, 0, nll))
    rows = results.load(tmp_path)
    (sentence,) = differences_in_words(rows)
    assert "far and elbo cannot be told apart by one seed in nll (difference 100" in sentence
    assert summarise(rows)["tied"].to_list() == [False, True]
    assert "±" not in markdown(summarise(rows))


def test_report_writes_tables_and_figures(folder, tmp_path):
    _, paths = write_report(folder, tmp_path / "report")
    assert {p.name for p in paths} == {
        *("table.csv", "table.md"),
        *("curves.png", "comparison.png", "rate_distortion.png"),
    }
    assert all(p.read_bytes()[:4] == b"\x89PNG" for p in paths if p.suffix == ".png")
    assert "torch 2.x" in (tmp_path / "report" / "table.md").read_text()
    read = pd.read_csv(tmp_path / "report" / "table.csv")
    assert read["nll_mean"].notna().sum() == 5


def test_report_of_lost_runs_alone_still_has_their_line(tmp_path):
    results.prepare(tmp_path)
    results.write(tmp_path, record("lost", 0, 1.0, status="diverged"))
    table, paths = write_report(tmp_path, tmp_path / "report")
    assert table["done"].to_list() == [0]
    assert {p.name for p in paths} == {"table.csv", "table.md"}


def test_figures_draw_the_intervals_of_the_table(folder):
    from vaebench.report import figures

    drawn = figures.comparison(results.load(folder))
    axes = next(a for a in drawn.axes if "mass" in a.get_title())
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels == ["lost", "elbo", "near", "worse"]
    figures.close(drawn)
