"""The numbers that the charts show: rounded, and each once for all charts of the page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from vaebench.core.shown import plain
from vaebench.report.clinic.codes import UNUSED
from vaebench.report.labels import display_names
from vaebench.report.means import Array
from vaebench.report.spaces import SPACE
from vaebench.report.standings import KEYS, RANKED_BY, Examples
from vaebench.report.statistics.intervals import half_width

if TYPE_CHECKING:
    import pandas as pd

MOST_DRAWN = 60
"""Variants of an observation space that charts show: the best."""
PALETTE = (
    *("#4c78a8", "#f58518", "#e45756", "#54a24b", "#b279a2"),
    *("#9d755d", "#ff9da6", "#3a9d96", "#c7a500", "#6b6ecf"),
)
GREY = "#9a9a9a"
"""The best variants of an observation space have a colour each; others are grey."""
OTHERS = "(others)"
DIGITS = 5
"""Significant digits of a number of the charts."""
OF_LAYER = re.compile(r"rate_layer_(\d+)")
"""The rate of one of several layers of latents."""
PLACE = "v"
"""The column that says which variant a point is of: its place in `Points.variants`."""


@dataclass(frozen=True)
class Points:
    """What the charts of a page show."""

    variants: pd.DataFrame
    """Each variant: `space`, `name`, and the `colour` by which legends call it."""
    tables: Mapping[str, pd.DataFrame]
    """The points of each kind of chart, by its name, with the PLACE of their variants."""
    others: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    """The points of charts of no variant, by name, with the `label` of their line."""

    def of_space(self, name: str, space: str) -> pd.DataFrame:
        """The points of one kind in one observation space, with the names of their variants."""
        table = self.tables[name]
        if table.empty:
            return table
        named = table.join(self.variants, on=PLACE)
        return named[named["space"] == space].drop(columns="space")

    def colours(self, space: str) -> dict[str, str]:
        """The colours of one observation space, by what legends call them."""
        names = dict.fromkeys(self.variants.loc[self.variants["space"] == space, "colour"])
        return dict(zip(names, (*PALETTE, GREY), strict=False)) | (
            {OTHERS: GREY} if OTHERS in names else {}
        )


def points(
    table: pd.DataFrame,
    rows: pd.DataFrame,
    curves: pd.DataFrame,
    examples: Examples,
    others: Mapping[str, pd.DataFrame] = {},
) -> Points:
    """Collect the points of the best variants of each observation space of the summary.

    `others`: the points of charts of no variant.
    """
    every = variants(table)
    drawn = every[every["place"] <= MOST_DRAWN]
    runs = rows[rows["seed"].notna()].drop_duplicates("run")[[*KEYS, "run"]]
    of_run = runs.merge(drawn, on=KEYS).set_index("run")[PLACE]
    rates = _rates(of_run, examples)
    tables = {
        "curves": _curves(curves, of_run),
        "runs": _runs(rows, of_run),
        "costs": _costs(drawn),
        "dimensions": _dimensions(rates),
        "units": _units(rates),
        "layers": _layers(rows, of_run),
    }
    named = every[["space", "name", "colour"]]
    named = named.assign(name=named["name"].map(plain), colour=named["colour"].map(plain))
    return Points(named, *({n: _rounded(one) for n, one in t.items()} for t in (tables, others)))


def variants(table: pd.DataFrame) -> pd.DataFrame:
    """The lines of the summary with `space`, `name`, `place` in their observation space from 1 on,
    `colour`, and their PLACE on the page, which is the index too."""
    import pandas as pd

    parts = [
        part.assign(name=display_names(part), place=np.arange(1, len(part) + 1))
        for _, part in table.groupby(SPACE, sort=True)
    ]
    every = pd.concat(parts, ignore_index=True)
    colour = every["name"].where(every["place"] <= len(PALETTE), OTHERS)
    return every.assign(space=every[SPACE], colour=colour, **{PLACE: every.index})


def _curves(curves: pd.DataFrame, of_run: pd.Series) -> pd.DataFrame:
    """The validation ELBO of each variant at each step: the mean and its 95% interval."""
    if curves.empty:
        return curves
    known = curves[["run", "step", "valid_elbo_nats"]].dropna()
    known = known.assign(**{PLACE: known["run"].map(of_run)}).dropna(subset=[PLACE])
    by = known.astype({PLACE: int}).groupby([PLACE, "step"])["valid_elbo_nats"]
    means = by.agg(["mean", "std", "count"]).reset_index()
    half = half_width(means["std"].fillna(0.0), means["count"].clip(lower=2))
    means = means.assign(low=means["mean"] - half, high=means["mean"] + half)
    return means[[PLACE, "step", "mean", "low", "high"]]


def _runs(rows: pd.DataFrame, of_run: pd.Series) -> pd.DataFrame:
    """Rate, distortion, bounds and how far they are to be trusted, of each run."""
    shown = ["rate", "distortion", RANKED_BY, "elbo", "khat_high", "ess"]
    graded = rows[rows["metric"].isin(shown) & rows["run"].isin(of_run.index)]
    wide = graded.pivot(index="run", columns="metric", values="value").reindex(columns=shown)
    wide[PLACE] = of_run.reindex(wide.index)
    seeds = graded.drop_duplicates("run").set_index("run")["seed"].astype(int)
    doubts = graded[graded["metric"] == RANKED_BY].set_index("run")["trust"].fillna("") != ""
    doubted = doubts.reindex(wide.index, fill_value=False).astype(int)
    wide = wide.assign(seed=seeds, doubted=doubted, minus_elbo=-wide.pop("elbo"))
    return wide.dropna(subset=["rate", "distortion"]).reset_index(drop=True)


def _costs(drawn: pd.DataFrame) -> pd.DataFrame:
    """The NLL of each variant beside the time of its step, and whether no other is better in both.

    Empty where there was no timing pass.
    """
    columns = {f"{RANKED_BY}_mean": RANKED_BY, "step_time_mean": "step_ms"}
    if not set(columns) <= set(drawn):
        return drawn.iloc[:0][[PLACE]]
    known = drawn.rename(columns=columns)[["space", PLACE, *columns.values()]].dropna()
    by_time = known.sort_values(["space", "step_ms", RANKED_BY])
    least = by_time.groupby("space")[RANKED_BY].cummin().groupby(by_time["space"]).shift()
    front = by_time[RANKED_BY] < least.fillna(np.inf)
    return by_time.assign(front=front.astype(int)).drop(columns="space")


def _rates(of_run: pd.Series, examples: Examples) -> dict[int, Array]:
    """The rate of each dimension of the code in the runs of each variant, the largest of a run
    first: [runs, D] by place."""
    by_variant: dict[int, list[Array]] = {}
    for run, place in of_run.items():
        rates = examples(str(run)).get("rate_per_dimension by dimension")
        if rates is not None:
            by_variant.setdefault(int(place), []).append(np.sort(rates)[::-1])
    return {place: np.stack(kept) for place, kept in by_variant.items()}


def _dimensions(rates: Mapping[int, Array]) -> pd.DataFrame:
    """The rate of each dimension, as the mean over seeds."""
    import pandas as pd

    lines = [
        {PLACE: place, "dimension": i + 1, "rate": rate}
        for place, kept in rates.items()
        for i, rate in enumerate(kept.mean(0).tolist())
    ]
    return pd.DataFrame(lines, columns=[PLACE, "dimension", "rate"])


def _units(rates: Mapping[int, Array]) -> pd.DataFrame:
    """How many dimensions carry something, as the mean over seeds, and how many there are."""
    import pandas as pd

    lines = [
        {
            PLACE: place,
            "used": float((kept >= UNUSED).sum(1).mean()),
            "dimensions": float(kept.shape[1]),
        }
        for place, kept in sorted(rates.items())
    ]
    return pd.DataFrame(lines, columns=[PLACE, "used", "dimensions"])


def _layers(rows: pd.DataFrame, of_run: pd.Series) -> pd.DataFrame:
    """The rate of each layer of latents, where there are several, as the mean over seeds."""
    metrics = map(str, rows["metric"].unique())  # rows may be millions
    layers = {name: int(match[1]) for name in metrics if (match := OF_LAYER.fullmatch(name))}
    graded = rows[rows["metric"].isin(list(layers)) & rows["run"].isin(of_run.index)]
    known = graded[["run", "value"]].assign(
        layer=graded["metric"].astype(str).map(layers), **{PLACE: graded["run"].map(of_run)}
    )
    known = known.dropna().astype({"layer": int, PLACE: int})
    means = known.groupby([PLACE, "layer"])["value"].mean()
    return means.rename("rate").reset_index()


def _rounded(table: pd.DataFrame) -> pd.DataFrame:
    numbers = table.select_dtypes("float").columns
    return table.assign(**{name: table[name].map(_short) for name in numbers})


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
