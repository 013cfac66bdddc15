"""The study of layers in a table and two pictures: `nox -s layers` calls this.

`rates.png`: the rate of each layer, stacked, with the NLL beside it. `curves.png`: the rate of each
layer while training. `table.csv`: the means over seeds, and how many there were.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from vaebench import results
from vaebench.results import Record

KEYS = ["dataset", "layers", "posterior", "objective", "samples"]
COLOURS = ("#3b6ea5", "#e0a03b", "#4f9d69", "#a5518d")
"""The colours of layers, that beside the images first."""


def table(records: Iterable[Record]) -> pd.DataFrame:
    """The means over seeds of each variant: NLL, ELBO, and rate and active dimensions by layer."""
    rows = pd.DataFrame([_row(record) for record in records if record.status == "done"])
    by = rows.groupby(KEYS, sort=False)
    means = by.mean().assign(seeds=by.size()).reset_index()
    return means.sort_values(["dataset", "layers", "nll"], key=_order, ignore_index=True)


def _order(column: pd.Series) -> pd.Series:
    """Few layers before many; other columns as they are."""
    return column.str.count("-") if column.name == "layers" else column


def _row(record: Record) -> dict[str, Any]:
    config, figures = record.config, {m.metric: m.value for m in record.metrics}
    dims = config["model"].get("layer_dims") or [config["model"]["latent_dim"]]
    one = {"rate_layer_1": figures["rate"], "active_layer_1": figures["active_units"]}
    of_layers = figures if len(dims) > 1 else one
    names = [f"{what}_layer_{i + 1}" for what in ("rate", "active") for i in range(len(dims))]
    return {
        "dataset": record.labels.dataset,
        "layers": "-".join(map(str, dims)),
        "posterior": config["posterior"]["name"],
        "objective": config["objective"]["name"],
        "samples": config["num_samples"],
        "nll": figures["nll"],
        "elbo": figures["elbo"],
        **{name: of_layers[name] for name in names},
    }


def names_of(means: pd.DataFrame) -> list[str]:
    """What each line of the table is called beside a bar."""
    ladder = (means["posterior"] == "ladder").map({True: " ladder", False: ""})
    return list(means["layers"] + ladder + ", " + means["objective"])


def rates(means: pd.DataFrame) -> Figure:
    """A bar for each variant, a panel for each data set."""
    parts = list(means.groupby("dataset", sort=False))
    longest = max(len(part) for _, part in parts)
    figure, axes = plt.subplots(
        1, len(parts), figsize=(6.5 * len(parts), 0.42 * longest + 1.4), squeeze=False
    )
    for panel, (dataset, part) in zip(axes[0], parts, strict=True):
        _bars(panel, part[::-1])
        panel.set(title=dataset, xlabel="rate of each layer (nats); at the end the NLL")
    axes[0][0].legend(loc="lower right", fontsize="small")
    figure.tight_layout()
    return figure


def _bars(panel: Any, part: pd.DataFrame) -> None:
    names, left = names_of(part), pd.Series(0.0, part.index)
    for i, colour in enumerate(COLOURS, 1):
        if f"rate_layer_{i}" in part:
            rate = part[f"rate_layer_{i}"].fillna(0.0)
            panel.barh(names, rate, left=left, color=colour, label=f"layer {i}")
            left += rate
    for name, end, nll in zip(names, left, part["nll"], strict=True):
        panel.text(end, name, f" {nll:.2f}", va="center", fontsize="small")
    panel.set_xlim(0.0, 1.15 * left.max())


def curves(records: Iterable[Record]) -> Figure:
    """The rate of each layer on validation images, of the first seed of every variant of most
    layers: a panel for each."""
    done = [r for r in records if "rate_layer_1_nats" in r.curves and r.status == "done"]
    most = max(len(r.config["model"]["layer_dims"]) for r in done)
    chosen = {
        (r.labels.dataset, r.labels.variant): r
        for r in sorted(done, key=lambda r: -(r.labels.seed or 0))
        if len(r.config["model"]["layer_dims"]) == most
    }
    size = 3.2 * len(chosen), 2.8
    figure, (axes,) = plt.subplots(1, len(chosen), figsize=size, sharey=True, squeeze=False)
    for panel, (name, record) in zip(axes, sorted(chosen.items()), strict=True):
        for i in range(1, most + 1):
            rate = record.curves[f"rate_layer_{i}_nats"]
            panel.plot(record.curves["step"], rate, color=COLOURS[i - 1], label=f"layer {i}")
        panel.set_title(
            f"{name[0]}: {name[1].partition(',')[0]}, {record.config['posterior']['name']}",
            fontsize="small",
        )
        panel.set_xlabel("step")
    axes[0].set_ylabel("rate (nats)")
    axes[0].legend(fontsize="small")
    figure.tight_layout()
    return figure


def main() -> None:
    """Write the table and the pictures of results folders."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=Path("results/reference/layers"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    records = [record for folder in arguments.folders for record in results.records(folder)]
    means = table(records)
    means.round(4).to_csv(arguments.out / "table.csv", index=False)
    rates(means).savefig(arguments.out / "rates.png", dpi=110)
    if any("rate_layer_1_nats" in record.curves for record in records):
        curves(records).savefig(arguments.out / "curves.png", dpi=110)


if __name__ == "__main__":
    main()
