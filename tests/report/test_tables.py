"""Tables and figures: pure functions of rows."""

import msgspec
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from vaebench import results
from vaebench.config import digest
from vaebench.core.errors import InputError
from vaebench.report import examples_of, write_report
from vaebench.report.comparison import comparisons
from vaebench.report.sentences import in_words
from vaebench.report.tables import footnotes, markdown, printable, summarise
from vaebench.results import Labels, Record, metric


def in_order(variant, seed, *rest):
    """An id; files are read in the order of their names, here of variant and seed."""
    return f"{variant:4.4}".encode().hex() + f"{seed:02x}" + digest({"of": [variant, *rest]})[:6]


def record(
    variant, seed, nll, space="digits/dynamic/mass/0", status="done", settings="train.a=1", **more
):
    likelihood = "bernoulli" if "mass" in space else "gaussian_learned"
    computed = {"nll": nll, "rate": 3.0, "distortion": nll - 3.0, **more}
    return Record(
        run=in_order(variant, seed, space, settings),
        study="s",
        labels=Labels("digits", likelihood, variant, "{}", variant, 1, space, settings, seed),
        status=status,
        environment={"torch": "2.x", "device": "cpu"},
        reason="" if status == "done" else "the loss was not finite at step 7",
        metrics=[metric(k, v) for k, v in computed.items()] if status == "done" else [],
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


def test_ranks_within_a_space_with_ties_and_without_lost_runs(folder):
    table = summarise(results.load(folder)).set_index(["observation_space", "variant"])
    mass = table.loc["digits/dynamic/mass/0"]
    assert mass["rank"].dropna().to_dict() == {"elbo": 1, "near": 2, "worse": 3}
    assert mass["verdict"].to_dict() == {
        "elbo": "",
        "near": "are not told apart",
        "worse": "",
        "lost": "",
    }
    assert mass["shares"].dropna().to_dict() == {"elbo": 1, "near": 1, "worse": 3}
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
    near, worse, lost, *notes = in_words(comparisons(results.load(folder)))
    assert "near and elbo are not told apart in nll" in near
    assert "worse and elbo differ in nll (difference 1 nats" in worse
    assert "lost and elbo are not compared in nll: 1 of 5 runs diverged or failed" in lost
    assert all("differ" not in note.replace('"differ"', "") for note in notes[1:])
    with pytest.raises(InputError, match="did you mean 'nll'"):
        comparisons(results.load(folder), metric="nl")


def test_one_seed_tells_nothing_apart(tmp_path):
    results.prepare(tmp_path)
    for variant, nll in (("elbo", 100.0), ("far", 200.0)):
        results.write(tmp_path, record(variant, 0, nll))
    rows = results.load(tmp_path)
    (sentence,) = in_words(comparisons(rows))
    assert "far and elbo cannot be told apart by one seed in nll (difference 100" in sentence
    assert summarise(rows)["shares"].to_list() == [1, 1]
    assert "±" not in markdown(summarise(rows))


def test_report_writes_tables_and_figures(folder, tmp_path):
    _, paths = write_report(folder, tmp_path / "report")
    assert {p.name for p in paths} == {
        *(
            "report.html",
            "table.csv",
            "table.md",
            "comparison.csv",
            "aggregate.csv",
            "time_to_target.csv",
        ),
        *("curves.png", "comparison.png", "rate_distortion.png"),
        *("profiles.csv", "profiles.png"),
    }
    assert all(p.read_bytes()[:4] == b"\x89PNG" for p in paths if p.suffix == ".png")
    assert "torch 2.x" in (tmp_path / "report" / "table.md").read_text()
    read = pd.read_csv(tmp_path / "report" / "table.csv")
    assert read["nll_mean"].notna().sum() == 5


def test_report_reads_what_is_kept_of_examples(tmp_path):
    results.prepare(tmp_path)
    tilt = np.linspace(-1.0, 1.0, 30)
    for i, e in enumerate(NOISE):
        for variant, k in (("elbo", 0.0), ("other", 1.0)):
            one = record(variant, i, 100.0 + e + k, rate_per_dimension=0.0)
            results.write(tmp_path, one)
            values = {
                "nll": 100.0 + e + k * (1.0 + 10.0 * tilt),
                "rate_per_dimension by dimension": tilt,
            }
            results.write_examples(tmp_path, one.run, values)
    summary, _ = write_report(tmp_path, tmp_path / "report")
    assert summary["shares"].to_list() == [1, 1]  # by seeds alone, all say the same
    pair = pd.read_csv(tmp_path / "report" / "comparison.csv").iloc[0]
    assert (pair["num_seeds"], pair["num_examples"]) == (5, 30)
    assert pair["high"] - pair["low"] == pytest.approx(
        2 * stats.t.ppf(0.975, 29) * stats.sem(10.0 * tilt)
    )
    by_dimension = comparisons(results.load(tmp_path), examples_of(tmp_path), "rate_per_dimension")
    assert by_dimension["num_examples"].isna().all()


def test_report_of_lost_runs_alone_still_has_their_line(tmp_path):
    results.prepare(tmp_path)
    results.write(tmp_path, record("lost", 0, 1.0, status="diverged"))
    table, paths = write_report(tmp_path, tmp_path / "report")
    assert table["done"].to_list() == [0]
    assert {p.name for p in paths} == {"report.html", "table.csv", "table.md"}


def test_ranks_are_shared_with_the_first_that_is_not_told_apart(tmp_path):
    """A pair of equals far behind the best shares the rank of the better of the two."""
    results.prepare(tmp_path)
    noise = (np.random.default_rng(0).normal(size=(3, 6)) * 0.1).tolist()
    for variant, base, by_seed in zip(
        ("best", "third", "fourth"), (1.0, 9.0, 9.05), noise, strict=True
    ):
        for i, e in enumerate(by_seed):
            results.write(tmp_path, record(variant, i, 100.0 + base + e))
    table = summarise(results.load(tmp_path))
    assert table["rank"].to_list() == [1, 2, 3]
    assert table["shares"].to_list() == [1, 2, 2]
    assert printable(table)["rank"].to_list() == ["1", "2", "3 =2"]
    (note,) = footnotes(table)
    assert note.startswith("=N: not told apart from rank N")


def test_what_only_its_own_interval_shows_is_marked(tmp_path):
    """p = 0.013 alone is 0.04 with three pairs, and 0.13 with ten."""
    results.prepare(tmp_path)
    d = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
    shift = float(stats.t.ppf(1 - 0.013 / 2, 4) * stats.sem(d))
    for i, e in enumerate(d.tolist()):
        results.write(tmp_path, record("best", i, 100.0))
        results.write(tmp_path, record("other", i, 100.0 + shift + e))
        for k in (1, 2, 3):  # like all others, for what is seen of it
            results.write(tmp_path, record(f"wild {k}", i, 120.0 + k + 90.0 * (i - 2) * (-1) ** k))
    rows = results.load(tmp_path)
    some = summarise(rows[rows["variant"].isin(["best", "other", "wild 1"])])
    assert printable(some)["rank"].to_list() == ["1", "2", "3 =2"]
    table = summarise(rows)
    assert printable(table)["rank"].to_list() == ["1", "2 ~1", "3 =1", "4 =1", "5 =1"]
    assert footnotes(table)[1].startswith("~N: its own interval leaves 0 out")


def with_columns(rows, metric, **columns):
    """Rows with other columns for one metric, by variant."""
    for column, by_variant in columns.items():
        if column not in rows:
            rows = rows.assign(**{column: None})
        for variant, value in by_variant.items():
            rows.loc[(rows["metric"] == metric) & (rows["variant"] == variant), column] = value
    return rows


def test_doubts_and_real_data_are_told_below_the_table(tmp_path):
    results.prepare(tmp_path)
    for i, e in enumerate(NOISE):
        for variant in ("elbo", "other"):
            results.write(tmp_path, record(variant, i, 100.0 + e, frechet=7.0 + e))
    rows = results.load(tmp_path)
    rows = with_columns(rows, "nll", trust={"elbo": "k-hat above 0.7 for 12% of the examples"})
    rows = with_columns(rows, "frechet", reference={"elbo": 1.25, "other": 1.25})
    table = summarise(rows)
    cells = printable(table).set_index("variant")
    assert cells.loc["elbo", "NLL (nats)"].endswith(" †")
    assert "†" not in cells.loc["other", "NLL (nats)"] + cells.loc["elbo", "Frechet"]
    text = markdown(table)
    assert "† NLL (nats): k-hat above 0.7: elbo (12% of the examples)" in text
    assert "real data, train against test: Frechet 1.2" in text


def test_a_doubt_that_several_variants_share_is_one_note(tmp_path):
    results.prepare(tmp_path)
    for i, e in enumerate(NOISE):
        for variant, nll in (("a", 100.0), ("b", 101.0), ("c", 102.0), ("d", 103.0)):
            results.write(tmp_path, record(variant, i, nll + e, mig=0.5))
    khat, few = "k-hat above 0.63 for", "fewer than 5 effective samples for"
    doubts = {
        "a": f"{khat} 8% of the examples",
        "b": f"{khat} 9% of the examples; {few} 6% of the examples",
        "c": f"{khat} 100% of the examples",
    }
    rows = with_columns(results.load(tmp_path), "nll", trust=doubts)
    rows.loc[(rows["variant"] == "c") & (rows["seed"] > 1), "trust"] = ""
    rows = with_columns(rows, "mig", trust=dict.fromkeys("ad", "no better than chance"))
    notes = [note for note in footnotes(summarise(rows)) if note.startswith("†")]
    assert notes == [
        "† NLL (nats): k-hat above 0.63: a (8% of the examples); b (9%); c (100%, 2 of 5 runs)",
        "† NLL (nats): fewer than 5 effective samples: b (6% of the examples)",
        "† MIG: no better than chance: a; d",
    ]


def test_values_made_in_different_ways_are_marked_and_kept_apart(tmp_path):
    results.prepare(tmp_path)
    for i, e in enumerate(NOISE):
        for variant in ("elbo", "near", "other"):
            results.write(tmp_path, record(variant, i, 100.0 + e, frechet=7.0 + e))
    ways = {"elbo": "1f", "near": "1f", "other": "2e"}
    rows = with_columns(
        results.load(tmp_path), "frechet", fingerprint=ways, reference=dict.fromkeys(ways, 1)
    )
    table = summarise(rows)
    assert "Frechet ‡" in printable(table)
    assert table["rank"].notna().all()
    text = markdown(table)
    assert "‡ Frechet: made in different ways, not to compare: 1f: elbo, near; 2e: other" in text
    assert "real data" not in text
    same = markdown(summarise(with_columns(rows, "frechet", fingerprint={"other": "1f"})))
    assert "‡" not in same
    assert "real data, train against test: Frechet 1.0" in same


def test_one_run_shows_the_interval_of_its_sampling(tmp_path):
    results.prepare(tmp_path)
    results.write(tmp_path, record("elbo", 0, 100.0, frechet=7.0))
    rows = with_columns(results.load(tmp_path), "frechet", low={"elbo": 6.5}, high={"elbo": 8.0})
    assert printable(summarise(rows))["Frechet"].to_list() == ["7.0 [6.5, 8.0]"]


def configured(run, objective, prior=None, **hyper):
    """The record of a run with the configuration of its objective, and of a prior."""
    config = {"objective": {"name": objective, "hyper": hyper}}
    if prior is not None:
        config["prior"] = {"name": "laplace", "hyper": {"beta": prior}}
    labels = msgspec.structs.replace(run.labels, objective=objective)
    return msgspec.structs.replace(run, labels=labels, config=config)


def test_a_curve_over_beta_is_of_the_objectives_beta_alone(tmp_path):
    """A prior's beta is another number: each of its values has a curve of its own."""
    from vaebench.report import figures

    results.prepare(tmp_path)
    for prior in (1.0, 7.0):
        for beta in (2.0, 16.0):
            name = f"beta_elbo(beta={beta:g}), laplace(beta={prior:g})"
            one = record(name, 0, 100.0, settings=f"p={prior:g}", rate=beta, distortion=prior)
            results.write(tmp_path, configured(one, "beta_elbo", prior, beta=beta))
    curves = figures.beta_curves(figures._wide(results.load(tmp_path), ["rate", "distortion"]))
    assert [curve["objective.beta"].to_list() for curve in curves] == [[2.0, 16.0]] * 2
    assert [curve["distortion"].to_list() for curve in curves] == [[1.0] * 2, [7.0] * 2]


def test_colours_stand_by_the_number_of_beta(tmp_path):
    from vaebench.report import panels

    results.prepare(tmp_path)
    for i, beta in enumerate((16.0, 2.0, 100.0)):
        one = record(f"{i}: beta_elbo(beta={beta:g})", 0, 100.0)
        results.write(tmp_path, configured(one, "beta_elbo", beta=beta))
    rows = panels.labelled(results.load(tmp_path))
    order = panels.colours_of(rows, list(rows["label"].unique()))
    assert [label.partition("beta=")[2] for label in order] == ["2)", "16)", "100)"]


def test_figures_with_annealing_and_a_curve_over_beta(tmp_path):
    from vaebench.report import figures

    results.prepare(tmp_path)
    for beta in (0.5, 4.0, 2.0):
        for seed in range(3):
            name = f"beta_elbo(beta={beta:g})"
            more = {"rate": 10.0 / beta + seed, "distortion": 90.0 + beta, "elbo": -101.0 - seed}
            one = record(name, seed, 100.0 + beta, **more)
            results.write(tmp_path, configured(one, "beta_elbo", beta=beta))
    results.write(tmp_path, configured(record("elbo", 0, 100.0, elbo=-101.0), "elbo"))
    rows = results.load(tmp_path)
    (curve,) = figures.beta_curves(figures._wide(rows, ["rate", "distortion"]))
    assert curve["objective.beta"].to_list() == [0.5, 2.0, 4.0]
    assert curve["rate"].to_list() == [21.0, 6.0, 3.5]
    assert figures.bounds(rows) is None
    annealed = rows[rows["metric"] == "nll"].assign(metric="ais_nll")
    drawn = figures.bounds(pd.concat([rows, annealed], ignore_index=True))
    assert drawn.axes[0].get_xlim()[1] < 20  # the ELBO's sign is turned: all are near 100 nats
    labels = [text.get_text() for text in drawn.axes[0].get_yticklabels()]
    assert sorted(labels) == [
        "beta_elbo(beta=0.5)",
        "beta_elbo(beta=2)",
        "beta_elbo(beta=4)",
        "elbo",
    ]
    figures.close(drawn)


def test_figures_draw_the_intervals_of_the_table(folder):
    from vaebench.report import figures

    drawn = figures.comparison(results.load(folder))
    axes = next(a for a in drawn.axes if "mass" in a.get_title())
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels == ["lost", "elbo", "near", "worse"]
    figures.close(drawn)
