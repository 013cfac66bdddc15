"""Reports of folders with models from elsewhere, alone or beside a trained study."""

import msgspec
import numpy as np
import pandas as pd
import pytest

from vaebench import results
from vaebench.config import digest
from vaebench.core.errors import InputError
from vaebench.report import examples_of, figures, write_report
from vaebench.report import labels as names
from vaebench.report.comparison import comparisons
from vaebench.report.learning_curves import learning_curves
from vaebench.report.sentences import in_words
from vaebench.report.standings import ranked, unequal
from vaebench.results import Labels, Record, metric

SPACE = "digits/threshold/mass/0"
GRADED = "evaluate.num_samples=100 evaluate.num_images=1000 evaluate.gradings={gradings}"
TRAINED = (
    "model.name=mlp model.latent_dim=8 model.widths=128 model.num_classes=10 model.flow_steps=2 "
    "model.num_components=10 train.num_steps=6000 train.batch_size=64 train.learning_rate=0.001 "
    "train.max_grad_norm=None train.weight_decay=0.0 train.patience=None train.precision=float32 "
)
USUAL = "likelihood,latent_use,samples"


def record(variant, seed, nll, settings, status="done", run="", **more):
    computed = {"nll": nll, "elbo": -nll - 1.0, **more} if status == "done" else {}
    return Record(
        run=digest({"of": run or [variant, seed, len(settings)]}),
        study="s",
        labels=Labels("digits", "bernoulli", "given", "{}", variant, 1, SPACE, settings, seed),
        status=status,
        reason="" if status == "done" else "lost",
        metrics=[metric(name, value) for name, value in computed.items()],
    )


def external(variant="pyro", seed=0, nll=97.0, gradings=USUAL, **more):
    return record(variant, seed, nll, GRADED.format(gradings=gradings), **more)


def trained(variant, seed, nll, settings=TRAINED, **more):
    facts = record(variant, seed, nll, settings + GRADED.format(gradings=USUAL), **more)
    logged = {"step": [1.0, 2.0], "valid_elbo_nats": [-30.0 - nll, -nll]}
    return msgspec.structs.replace(facts, curves=logged)


def study():
    return [
        trained(variant, seed, 98.0 + k + 0.1 * (seed * k - seed), rate=8.0 + k, distortion=91.0)
        for k, variant in enumerate(("elbo", "iwae K=8", "beta_elbo(beta=4)"))
        for seed in range(3)
    ]


def folder_of(path, *records):
    results.prepare(path)
    for facts in records:
        results.write(path, facts)
    return path


def settings_table(*settings, variants=None):
    rows = {"variant": variants or [f"v{i}" for i in range(len(settings))], "settings": settings}
    return pd.DataFrame(rows).assign(likelihood="bernoulli")


def test_a_setting_that_a_line_lacks_is_no_difference():
    table = settings_table("m.a=1 m.b=1 e.k=5", "m.a=2 m.b=1 e.k=5", "e.k=5")
    assert names.display_names(table) == ["v0, m.a=1", "v1, m.a=2", "v2"]
    table = settings_table("m.a=1 e.k=5", "m.a=1 e.k=5", "e.k=6")
    assert names.display_names(table) == ["v0, e.k=5", "v1, e.k=5", "v2, e.k=6"]


def test_lines_of_one_variant_are_told_apart_by_what_one_of_them_lacks():
    """By one setting, for all are of the same kind."""
    table = settings_table("m.a=1 m.b=1 e.k=5", "e.k=5", variants=["elbo", "elbo"])
    assert names.display_names(table) == ["elbo, m.a=1", "elbo"]
    three = settings_table("a=1", "a=1 b=1", "a=1 b=1 c=1", variants=["v"] * 3)
    assert len(set(names.display_names(three))) == 3
    rows = pd.concat([three, three])
    assert names.display_names(rows) == names.display_names(three) * 2
    apart = settings_table("a=1", "b=1", variants=["v"] * 2)
    assert names.display_names(apart[::-1]) == names.display_names(apart)[::-1]


@pytest.fixture
def beside(tmp_path):
    return folder_of(tmp_path, *study(), external(rate=7.0, distortion=90.0))


def test_report_of_a_study_with_a_model_from_elsewhere(beside):
    table, paths = write_report(beside, beside / "report")
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
    }
    assert table["rank"].notna().all()
    pairs = pd.read_csv(beside / "report" / "comparison.csv")
    assert set(pairs["worse"]) | set(pairs["better"]) == {
        *("elbo", "iwae K=8", "beta_elbo(beta=4)", "pyro")
    }
    assert "model." not in (beside / "report" / "table.md").read_text()


def test_report_of_models_from_elsewhere_alone(tmp_path):
    """Without curves, timings, rates and distortions, which their gradings may not give."""
    folder_of(tmp_path, external("pyro"), external("pythae", nll=98.0))
    _, paths = write_report(tmp_path, tmp_path / "report")
    assert {p.name for p in paths} == {
        *(
            "report.html",
            "table.csv",
            "table.md",
            "comparison.csv",
            "aggregate.csv",
            "comparison.png",
        )
    }


def test_labels_that_are_long_leave_room_for_the_figure(tmp_path):
    long = ",".join(f"grading_{i}(chains=16,steps=1000)" for i in range(12))
    folder_of(tmp_path, *study(), external(gradings=long, rate=7.0, distortion=90.0))
    _, paths = write_report(tmp_path, tmp_path / "report")
    assert "rate_distortion.png" in {p.name for p in paths}
    drawn = figures.comparison(results.load(tmp_path))
    drawn.canvas.draw()
    boxes = [t.get_window_extent() for t in drawn.axes[0].get_yticklabels()]
    assert len(boxes) == 4
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    figures.close(drawn)


def test_figures_of_what_no_run_has_are_none(beside):
    rows = results.load(beside)
    assert learning_curves(pd.DataFrame()) is None
    assert figures.rate_distortion(rows[rows["metric"] != "rate"]) is None
    none = rows.assign(value=rows["value"].where(rows["metric"] != "rate"))
    assert figures.rate_distortion(none) is None
    annealed = rows[rows["metric"] == "nll"].assign(metric="ais_nll", value=float("nan"))
    assert figures.bounds(pd.concat([rows, annealed])) is None
    assert figures.throughput(annealed.assign(metric="examples_per_s")) is None


def test_against_is_a_variant_where_no_other_line_has_it(tmp_path):
    folder_of(tmp_path, *study(), external("elsewhere", gradings="likelihood"))
    rows = results.load(tmp_path)
    table = comparisons(rows, against="elbo")
    assert len(table) == 3
    assert table["first"].all()
    folder_of(tmp_path, *(trained("elbo", i, 99.0, "model.name=conv ") for i in range(3)))
    with pytest.raises(InputError, match=r"'elbo' is each of elbo, model\.name=mlp .* \| elbo,"):
        comparisons(results.load(tmp_path), against="elbo")


def test_against_a_study_beside_a_model_from_elsewhere(beside):
    table = comparisons(results.load(beside), against="elbo")
    assert table["better"].where(table["worse"] == "elbo", table["worse"]).to_list() == [
        *("pyro", "iwae K=8", "beta_elbo(beta=4)")
    ]


def test_two_runs_of_a_line_at_one_seed_are_refused(beside):
    folder_of(beside, external(nll=120.0, run="another"))
    another = digest({"of": "another"})
    said = (
        f"'pyro' must have one run of each seed .* of seed 0 it has the runs .*{another}.*: give "
    )
    with pytest.raises(InputError, match=said):
        comparisons(results.load(beside))
    with pytest.raises(InputError, match=f"{said}them different names or seeds"):
        write_report(beside, beside / "report")
    assert not (beside / "report").exists()


def test_runs_that_are_all_lost_are_counted(tmp_path):
    folder_of(tmp_path, *(trained("elbo", i, 1.0, status="diverged") for i in range(3)))
    with pytest.raises(InputError, match="all runs were lost: 3 of 3 diverged or failed"):
        comparisons(results.load(tmp_path))


@pytest.mark.parametrize("damage", ["empty", "no archive", "a byte"])
def test_damaged_examples_stop_in_one_line_that_names_the_file(beside, damage):
    run = study()[0].run
    results.write_examples(beside, run, {"nll": np.arange(500.0)})
    path = beside / "examples" / f"{run}.npz"
    whole = path.read_bytes()
    half = len(whole) // 2
    flipped = whole[:half] + bytes([whole[half] ^ 255]) + whole[half + 1 :]
    path.write_bytes({"empty": b"", "no archive": b"none", "a byte": flipped}[damage])
    calls = (
        lambda: write_report(beside, beside / "report"),
        lambda: comparisons(results.load(beside), examples_of(beside)),
    )
    for call in calls:
        with pytest.raises(InputError, match=rf"{run}\.npz must be .*: delete it") as caught:
            call()
        assert "\n" not in str(caught.value)


def with_fingerprints(rows, **by_variant):
    return rows.assign(fingerprint=rows["variant"].map(by_variant).fillna(""))


def test_values_of_an_earlier_version_are_not_compared_with_newer_ones(tmp_path):
    folder_of(tmp_path, *(external(v, nll=97.0 + i) for i, v in enumerate(("old", "older", "new"))))
    rows = with_fingerprints(results.load(tmp_path), new="1f")
    table = comparisons(rows).set_index(["worse", "better"])
    assert table.loc[("older", "old"), "verdict"] == "cannot be told apart by one seed"
    for worse, better in (("new", "old"), ("new", "older")):
        pair = table.loc[(worse, better)]
        assert pair["verdict"] == "are not compared"
        assert pair["reason"] == (
            f"the values of {better} are of an earlier version, without a fingerprint: evaluate it "
            f"again"
        )
    assert any("an earlier version" in line for line in in_words(comparisons(rows)))
    equal = with_fingerprints(rows, new="1f", old="1f", older="1f")
    assert comparisons(equal)["verdict"].ne("are not compared").all()


def test_a_run_without_a_value_has_not_made_it_in_another_way(tmp_path):
    """Its figure is None, with the reason, and has no fingerprint."""
    folder_of(tmp_path, external("a", nll=97.0), external("b", nll=98.0))
    rows = with_fingerprints(results.load(tmp_path), a="1f")
    rows.loc[(rows["variant"] == "b") & (rows["metric"] == "elbo"), "value"] = float("nan")
    rows.loc[rows["metric"] == "nll", "fingerprint"] = "1f"
    ((_, lines),) = ranked(rows)
    assert lines["rank"].to_list() == [1, 2]
    assert unequal(rows) == set()


def test_a_line_of_old_and_new_runs_says_so(tmp_path):
    folder_of(
        tmp_path,
        *(external("a", seed=i) for i in range(2)),
        *(external("b", seed=i) for i in range(2)),
    )
    rows = with_fingerprints(results.load(tmp_path), a="1f", b="1f")
    rows.loc[(rows["variant"] == "b") & (rows["seed"] == 0), "fingerprint"] = ""
    ((_, lines),) = ranked(rows)
    assert lines.set_index("variant")["nll_fingerprint"].to_dict() == {"a": "1f", "b": "1f none"}
