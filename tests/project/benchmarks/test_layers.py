"""The table and the pictures of the study of layers, from records made by hand, and its cost."""

import csv
from pathlib import Path

import pytest

from benchmarks.layers.__main__ import curves, names_of, rates, table
from benchmarks.layers.cost import MODELS, SIZES, config_of
from vaebench.results import Labels, Record
from vaebench.results.record import Metric


def record(dims, seed, posterior="hierarchical", **figures):
    shown = {"nll": 22.0, "elbo": -23.0, "rate": 5.0, "active_units": 3.0} | figures
    layers = {"layer_dims": list(dims)} if len(dims) > 1 else {}
    steps = {"step": [1.0, 2.0]}
    of_layers = {f"rate_layer_{i}_nats": [1.0, 0.5] for i in range(1, len(dims) + 1)}
    return Record(
        run="0" * 16,
        study="layers",
        labels=Labels("digits", "bernoulli", "elbo", "{}", "elbo", 1, "d/mass/K=1/0", "", seed),
        status="done",
        metrics=[Metric(name, value, "nats", None) for name, value in shown.items()],
        curves=steps | (of_layers if len(dims) > 1 else {}),
        config={
            "model": {"latent_dim": sum(dims), **layers},
            "posterior": {"name": posterior},
            "objective": {"name": "elbo"},
            "num_samples": 1,
        },
    )


LAYERED = {"rate_layer_1": 3.0, "rate_layer_2": 2.0, "active_layer_1": 4.0, "active_layer_2": 1.0}
RECORDS = [
    record((4, 2), 0, "ladder", **LAYERED),
    record((4, 2), 1, "ladder", **LAYERED | {"nll": 24.0, "rate_layer_2": 1.0}),
    record((4,), 0, "diagonal_gaussian"),
]


def test_the_table_has_means_over_seeds_and_one_layer_first():
    means = table(RECORDS)
    assert names_of(means) == ["4, elbo", "4-2 ladder, elbo"]
    assert means["seeds"].tolist() == [1, 2]
    assert means["nll"].tolist() == [22.0, 23.0]
    assert means["rate_layer_1"].tolist() == [5.0, 3.0]
    assert means["rate_layer_2"].tolist()[1] == 1.5


def test_the_pictures_have_a_bar_and_a_curve_for_each_layer():
    (panel,) = rates(table(RECORDS)).axes
    assert len(panel.patches) == 4  # two lines of two layers, one of them 0 wide
    (panel,) = curves(RECORDS).axes
    assert [line.get_label() for line in panel.lines] == ["layer 1", "layer 2"]


@pytest.mark.parametrize("size", SIZES)
def test_all_models_of_the_cost_have_codes_of_one_width(size):
    assert {config_of(model, size, 0).model.latent_dim for model in MODELS} == {24}


FIGURES = ("nll", "elbo", "rate_layer_1", "rate_layer_2", "rate_layer_3")


def test_the_page_has_the_figures_of_the_committed_table():
    rows = csv.DictReader(Path("results/reference/layers/table.csv").read_text().splitlines())
    expected = [
        [row["dataset"], row["layers"], row["objective"]]
        + [f"{float(row[name]):.2f}" if row[name] else "" for name in FIGURES]
        for row in rows
    ]
    lines = Path("docs/layers.md").read_text().splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    shown = [c for c in cells if c[0] in ("digits", "mnist")]
    assert [
        [data, _dims(words), _name(objective), *rest] for data, words, objective, *rest in shown
    ] == expected


def _dims(words):
    """16, 8 bottom-up -> 16-8."""
    return "-".join(part.split()[0] for part in words.split(", "))


def _name(objective):
    """The name between backticks."""
    return objective.split("`")[1]
