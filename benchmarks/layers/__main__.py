"""The study of layers in a table and two pictures: `nox -s layers` calls this.

`rates.png`: the rate of each layer, stacked, with the NLL beside it. `curves.png`: the rate of each
layer while training. `table.csv`: the means over seeds, half of the 95% intervals of NLL and ELBO,
and of the gain in NLL over one layer under `elbo` with the same seed, the share of effective
samples of the NLL, and how many seeds there were; `table.md`: the same for docs/layers.md.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Hashable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from vaebench import results
from vaebench.report.statistics.intervals import half_width
from vaebench.results import Record

KEYS = ["dataset", "layers", "posterior", "objective", "samples", "besides"]
OVER_SEEDS = ["nll", "gain", "elbo"]
RATES = ["rate_layer_1", "rate_layer_2", "rate_layer_3"]
KINDS = {"hierarchical": " bottom-up", "ladder": " as a ladder"}
"""What a posterior over layers is called on the page."""
HEAD = ["", "layers", "objective", "NLL", "gain", "ELBO", "rate of layer 1", "2", "3"]
COLOURS = ("#3b6ea5", "#e0a03b", "#4f9d69", "#a5518d")
"""The colours of layers, that beside the images first."""
NUM_COLUMNS = 5
"""Panels of curves side by side."""


def table(records: Iterable[Record]) -> pd.DataFrame:
    """The means over seeds of each variant: NLL, ELBO, and rate and active dimensions by layer.

    `gain`: how much less the NLL is than that of one layer under `elbo`, seed by seed. What ends in
    `half_width` is half of Student's 95% interval over seeds, where there are two or more.
    """
    rows = pd.DataFrame([_row(record) for record in records if record.status == "done"])
    by = rows.assign(gain=_gains(rows)).drop(columns="seed").groupby(KEYS, sort=False)
    halves = {
        f"{name}_half_width": half_width(by[name].std(), by[name].count()) for name in OVER_SEEDS
    }
    means = by.mean().assign(seeds=by.size(), **halves).reset_index()
    return means.sort_values(["dataset", "layers", "nll"], key=_order, ignore_index=True)


def _gains(rows: pd.DataFrame) -> pd.Series:
    """How much less the NLL of each run is than that of the same seed with one layer."""
    is_plain = (rows["objective"] == "elbo") & (rows["besides"] == "")
    plain = rows[is_plain & ~rows["layers"].str.contains("-")]
    of_seed = plain.set_index(["dataset", "seed"])["nll"].rename("plain")
    return rows.join(of_seed, on=["dataset", "seed"])["plain"] - rows["nll"]


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
        "besides": ", ".join(_besides(config)),
        "seed": record.labels.seed,
        "nll": figures["nll"],
        "elbo": figures["elbo"],
        "ess": figures["ess"],
        **{name: of_layers[name] for name in names},
    }


def _besides(config: dict[str, Any]) -> Iterator[str]:
    """What a run has beside layers and objective."""
    if config["model"].get("layer_features"):
        yield "deterministic layers"
    if config["model"].get("hyper", {}).get("norm") == "batch":
        yield "normalised"
    if config.get("rate_weight", 1.0) != 1.0:
        yield "warm-up"


def names_of(means: pd.DataFrame) -> list[str]:
    """What each line of the table is called beside a bar; what it has besides is a second line."""
    ladder = (means["posterior"] == "ladder").map({True: " ladder", False: ""})
    besides = means["besides"].map(lambda words: f"\n{words}" if words else "")
    return list(means["layers"] + ladder + ", " + means["objective"] + besides)


def markdown(means: pd.DataFrame) -> str:
    """The table of the page: a line for each variant."""
    lines = [HEAD, ["---"] * len(HEAD), *map(_cells, means.to_dict("records"))]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cells(row: Mapping[Hashable, Any]) -> Iterator[str]:
    yield row["dataset"]
    yield row["layers"].replace("-", ", ") + KINDS.get(row["posterior"], "")
    samples = f"K = {row['samples']}" if row["samples"] > 1 else ""
    yield ", ".join(filter(None, (f"`{row['objective']}`", samples, row["besides"])))
    for name in OVER_SEEDS:
        half = row[f"{name}_half_width"]
        number = "" if pd.isna(row[name]) else f"{row[name]:.2f}"
        yield number + ("" if pd.isna(half) else f" ± {half:.2f}")
    for name in RATES:
        rate = row.get(name)
        yield "" if pd.isna(rate) else f"{rate:.2f}"


def rates(means: pd.DataFrame) -> Figure:
    """A bar for each variant, a panel for each data set."""
    parts = list(means.groupby("dataset", sort=False))
    longest = max(len(part) for _, part in parts)
    size = 7.0 * len(parts), 0.42 * longest + 1.4
    figure, axes = plt.subplots(1, len(parts), figsize=size, squeeze=False, layout="constrained")
    for panel, (dataset, part) in zip(axes[0], parts, strict=True):
        _bars(panel, part[::-1])
        panel.set(title=dataset, xlabel="rate of each layer (nats); at the end the NLL")
        panel.tick_params(axis="y", labelsize="small")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower right", ncols=3)
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
    layers: a panel for each, the data sets one below the other.

    Panels reach to twice the largest rate at the end: those of a warm-up begin above.
    """
    done = [r for r in records if "rate_layer_1_nats" in r.curves and r.status == "done"]
    most = max(len(r.config["model"]["layer_dims"]) for r in done)
    first = {
        (r.labels.dataset, _title(r)): r
        for r in sorted(done, key=lambda r: -(r.labels.seed or 0))
        if len(r.config["model"]["layer_dims"]) == most
    }
    datasets: dict[str, list[Record]] = {dataset: [] for dataset, _ in sorted(first)}
    for (dataset, _), record in sorted(first.items()):
        datasets[dataset].append(record)
    num_rows = [-(-len(chosen) // NUM_COLUMNS) for chosen in datasets.values()]
    figure = plt.figure(figsize=(3.0 * NUM_COLUMNS, 2.6 * sum(num_rows)), layout="constrained")
    parts = figure.subfigures(len(num_rows), 1, height_ratios=num_rows, squeeze=False)[:, 0]
    for part, rows, (dataset, chosen) in zip(parts, num_rows, datasets.items(), strict=True):
        part.suptitle(dataset)
        axes = part.subplots(rows, NUM_COLUMNS, sharey=True, sharex=True, squeeze=False).flat
        for panel, record in itertools.zip_longest(axes, chosen):
            _curve(panel, record, most)
        axes[0].set_ylim(0.0, 2.0 * max(_last_rate(record, most) for record in chosen))
    figure.axes[0].legend(fontsize="small")
    return figure


def _last_rate(record: Record, num_layers: int) -> float:
    """The largest of the rates of layers at the end of training."""
    return max(record.curves[f"rate_layer_{i}_nats"][-1] or 0.0 for i in range(1, num_layers + 1))


def _title(record: Record) -> str:
    """What a panel is called, on two lines."""
    config = record.config
    kind = KINDS[config["posterior"]["name"]].strip()
    return f"{config['objective']['name']}, {kind}\n{', '.join(_besides(config))}"


def _curve(panel: Any, record: Record | None, num_layers: int) -> None:
    """The curves of a run in a panel, which without one is left out."""
    if record is None:
        panel.set_visible(False)
        return
    for i in range(1, num_layers + 1):
        rate = record.curves[f"rate_layer_{i}_nats"]
        panel.plot(record.curves["step"], rate, color=COLOURS[i - 1], label=f"layer {i}")
    panel.set_title(_title(record), fontsize="small")
    panel.set(xlabel="step", ylabel="rate (nats)")
    panel.label_outer()


def main() -> None:
    """Write the table and the pictures of results folders."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=Path("results/reference/layers"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    records = [record for folder in arguments.folders for record in results.records(folder)]
    means = table(records).round(4)
    means.to_csv(arguments.out / "table.csv", index=False)
    (arguments.out / "table.md").write_text(markdown(means))
    rates(means).savefig(arguments.out / "rates.png", dpi=110)
    if any("rate_layer_1_nats" in record.curves for record in records):
        curves(records).savefig(arguments.out / "curves.png", dpi=110)


if __name__ == "__main__":
    main()
