"""What each variant takes to reach a target ELBO, and performance profiles over data sets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vaebench.report.labels import display_names
from vaebench.report.means import Array, places_of
from vaebench.report.standings import KEYS, mappings

if TYPE_CHECKING:
    import pandas as pd

ELBO = "valid_elbo_nats"
MEASURES = {"step": "steps", "decoder_evaluations": "decoder_evaluations", "seconds": "seconds"}
"""What is counted: columns of the curves, and what the tables call them."""
MOST_RATIO = 4.0
"""A variant that takes more than so many times what the fastest takes counts as one that does not
arrive: r_max of AlgoPerf."""
FEWEST_SPACES = 2


@dataclass(frozen=True)
class _Points:
    """The points of the learning curves, of which there are millions: as arrays."""

    curves: pd.DataFrame
    runs: pd.Index
    """The ids of the runs."""
    codes: Array  # [points]
    """The place of each point's run among these."""
    elbo: Array  # [points]
    counted: Array  # [points]
    """Whether a point counts: it has an ELBO, and its run is done."""

    @classmethod
    def of(cls, curves: pd.DataFrame, runs: pd.DataFrame) -> _Points:
        """The points of some curves; `runs` says which runs are done."""
        run, elbo = curves["run"].astype("category").cat, curves[ELBO].to_numpy()
        done = run.categories.isin(runs.loc[runs["status"] == "done", "run"])
        codes = run.codes.to_numpy()
        return cls(curves, run.categories, codes, elbo, ~np.isnan(elbo) & done[codes])

    def summary(self) -> pd.DataFrame:
        """The best ELBO of each run, and how many of its points say what time they took."""
        import pandas as pd

        best = np.full(len(self.runs), np.nan)
        np.fmax.at(best, self.codes[self.counted], self.elbo[self.counted])
        timed = self.codes[self.counted & self.curves["seconds"].notna().to_numpy()]
        num_timed = np.bincount(timed, minlength=len(self.runs))
        return pd.DataFrame({"best": best, "num_timed": num_timed}, index=self.runs)

    def first_at(self, aims: pd.Series) -> pd.DataFrame:
        """What each run has taken at the first of its points that is at least at its aim; without
        runs that never are."""
        is_there = self.counted & (self.elbo >= aims.reindex(self.runs).to_numpy()[self.codes])
        rows = np.flatnonzero(is_there)
        codes = self.codes[rows]
        _, firsts = np.unique(codes, return_index=True)
        return self.curves[[*MEASURES]].iloc[rows[firsts]].set_index(self.runs[codes[firsts]])


def time_to_target(
    curves: pd.DataFrame, runs: pd.DataFrame, target: float | None = None
) -> pd.DataFrame:
    """A line for each variant of `runs`, which has a row for each run: what it takes until the
    beta = 1 ELBO on validation images first reaches a target.

    `steps`, `decoder_evaluations` and `seconds` are medians over seeds at the first point of the
    learning curve that is there, infinite for a run that never is, or is lost; NaN where nothing
    has timed the variant. `reached` of `runs` are. The `target` is the one that is asked for, or in
    each observation space the best ELBO that at least half of its variants reach in at least half
    of their runs: the lower median over variants of the lower median over seeds of the best point.
    Variants that lost half of their runs do not count.
    """
    import pandas as pd

    points = _Points.of(curves, runs)
    runs = runs[[*KEYS, "run", "status"]]  # of settings there are many
    runs = runs.join(points.summary(), on="run").sort_values("observation_space", kind="stable")
    aims = {
        space: _usual_target(part) if target is None else target
        for space, part in runs.groupby("observation_space")
        if part["best"].notna().any()
    }
    runs = runs.assign(aim=runs["observation_space"].map(aims).astype(float))
    reached = runs.join(points.first_at(runs.set_index("run")["aim"]), on="run")
    by_line = reached.groupby(KEYS, sort=False).ngroup().to_numpy()
    keys = mappings(reached[KEYS].drop_duplicates())
    others = [str(name) for name in reached if name not in (*KEYS, "run")]
    columns = {name: reached[name].to_numpy() for name in others}
    lines = [
        key | _line({name: values[rows] for name, values in columns.items()})
        for key, rows in zip(keys, places_of(by_line), strict=True)
        if not _is_elsewhere(*(columns[name][rows] for name in ("aim", "best", "status")))
    ]
    return pd.DataFrame(lines)


def performance_profiles(table: pd.DataFrame) -> pd.DataFrame:
    """For each variant of `time_to_target` and each measure, how its times compare with the fastest
    variant's over all observation spaces; empty for fewer than two spaces.

    A line for each observation space: `ratio` r, the time over that of the fastest there, infinite
    where the target is not reached or the variant is not there. The profile rho(tau) is the share
    of spaces with r <= tau, and `score` its area from 1 to 4, over 3: 1 for a variant that is the
    fastest everywhere. So Dahl et al. 2023, "Benchmarking Neural Network Training Algorithms"
    (AlgoPerf), after Dolan & More 2002; their workloads are observation spaces here, their trials
    seeds.
    """
    import pandas as pd

    if table.empty or table["observation_space"].nunique() < FEWEST_SPACES:
        return pd.DataFrame()
    named = pd.concat(
        part.assign(label=display_names(part)) for _, part in table.groupby("observation_space")
    )
    return pd.concat(_profiles(named), ignore_index=True)


def profile(ratios: Array, tau: Array) -> Array:
    """The share of workloads whose ratio is at most each tau: [T], for ratios [W]."""
    return np.asarray((ratios[:, None] <= tau).mean(0))


def score(ratios: Array) -> float:
    """The area under the profile from 1 to MOST_RATIO, as a share of what is possible."""
    return float(np.clip((MOST_RATIO - ratios) / (MOST_RATIO - 1.0), 0.0, None).mean())


def _profiles(named: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The ratios and scores by each measure that every line has."""
    for measure in MEASURES.values():
        if named[measure].isna().any():
            continue  # what is not timed is not compared
        times = named.pivot(index="label", columns="observation_space", values=measure)
        fastest = times.min()
        ratios = (times / fastest.where(np.isfinite(fastest))).fillna(np.inf)
        scores = {label: score(line.to_numpy()) for label, line in ratios.iterrows()}
        long = ratios.reset_index().melt("label", value_name="ratio")
        long = long.assign(measure=measure, score=long["label"].map(scores))
        yield long.sort_values(["score", "label"], ascending=[False, True])


def _usual_target(runs: pd.DataFrame) -> float:
    """The ELBO that half of the variants of one observation space reach in half of their runs."""
    bests = runs.fillna({"best": -np.inf}).groupby(KEYS)["best"]
    usual = bests.quantile(0.5, interpolation="lower")
    return float(usual[np.isfinite(usual)].quantile(0.5, interpolation="lower"))


def _line(runs: Mapping[str, Array]) -> dict[str, object]:
    """What one variant takes, given of each of its runs the first point at the target, by column
    [runs]."""
    times = {name: _median(runs[column]) for column, name in MEASURES.items()}
    if not np.isnan(runs["best"]).all() and not np.nansum(runs["num_timed"]):
        times["seconds"] = float("nan")
    num_reached = int((~np.isnan(runs["step"])).sum())
    return {"target": runs["aim"][0], "runs": len(runs["aim"]), "reached": num_reached, **times}


def _is_elsewhere(aim: Array, best: Array, status: Array) -> bool:
    """Whether a line [runs] has no target, or runs that were trained elsewhere: they are done, and
    have no learning curve."""
    return bool(np.isnan(aim).all() or (np.isnan(best).all() and (status == "done").all()))


def _median(values: Array) -> float:
    return float(np.median(np.where(np.isnan(values), np.inf, values)))
