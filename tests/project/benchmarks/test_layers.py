"""The table and the pictures of the study of layers, from records made by hand, and its cost."""

from pathlib import Path

import pandas as pd
import pytest

from benchmarks.layers.__main__ import curves, markdown, names_of, rates, table
from benchmarks.layers.cost import MODELS, SIZES, config_of
from vaebench.results import Labels, Record
from vaebench.results.record import Metric


def record(dims, seed, posterior="hierarchical", **figures):
    shown = {"nll": 22.0, "elbo": -23.0, "rate": 5.0, "active_units": 3.0, "ess": 0.5} | figures
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
    assert means["gain"].tolist() == [0.0, 0.0]  # seed 1 has no run of one layer
    assert means["nll_half_width"].isna().tolist() == [True, False]
    assert means["nll_half_width"][1] == pytest.approx(12.706, abs=1e-3)  # t of one degree


def test_what_a_variant_has_besides_tells_it_apart():
    normed = record((4, 2), 0, "ladder", **LAYERED)
    normed.config["model"] |= {"layer_features": [5, 4], "hyper": {"norm": "batch"}}
    normed.config["rate_weight"] = {"name": "linear", "over": 0.3}
    means = table([*RECORDS, normed])
    assert len(means) == 3
    besides = "deterministic layers, normalised, warm-up"
    assert f"4-2 ladder, elbo\n{besides}" in names_of(means)
    assert "| digits | 4 | `elbo` | 22.00 | 0.00 | -23.00 | 5.00 |  |  |" in markdown(means)
    assert f"| digits | 4, 2 as a ladder | `elbo`, {besides} | 22.00 |" in markdown(means)
    assert "| 23.00 ± 12.71 | 0.00 |" in markdown(means)


def test_the_pictures_have_a_bar_and_a_curve_for_each_layer():
    (panel,) = rates(table(RECORDS)).axes
    assert len(panel.patches) == 4  # two lines of two layers, one of them 0 wide
    panel, *empty = curves(RECORDS).axes
    assert not any(other.get_visible() for other in empty)
    assert [line.get_label() for line in panel.lines] == ["layer 1", "layer 2"]


@pytest.mark.parametrize("size", SIZES)
def test_all_models_of_the_cost_have_codes_of_one_width(size):
    assert {config_of(model, size, 0).model.latent_dim for model in MODELS} == {24}


def test_the_page_has_the_table_that_the_command_writes():
    """Both from what is committed: the page, the lines and the figures in full."""
    folder = Path("results/reference/layers")
    written = (folder / "table.md").read_text()
    means = pd.read_csv(folder / "table.csv", keep_default_na=False, na_values=[""])
    assert markdown(means.fillna({"besides": ""})) == written
    assert written in Path("docs/layers.md").read_text()
